//! Asks a member's API server how it is.

use crds::conditions::{self, cluster as words, status};
use http::{Request, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Client, client::Body};
use runtime::{ApiError, error::call, member::ConnectError};

/// What a probe found.
#[derive(Debug)]
pub(super) enum Health {
    Healthy,
    /// The API server answers, but not with ok.
    Unhealthy,
    /// The API server does not accept our credentials.
    Refused(StatusCode),
    Unreachable(ApiError),
    /// There is nothing to probe with.
    NoClient(ConnectError),
}

impl Health {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self, Self::Healthy)
    }

    /// The reason of the `Ready` condition.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Healthy => words::CLUSTER_READY,
            Self::Unhealthy | Self::Refused(_) => words::CLUSTER_NOT_READY,
            Self::Unreachable(_) => words::CLUSTER_NOT_REACHABLE,
            Self::NoClient(_) => words::STATUS_COLLECTION_FAILED,
        }
    }

    /// The `Ready` condition of a member in this state.
    pub(super) fn condition(&self) -> Condition {
        let status = if self.is_ready() {
            status::TRUE
        } else {
            status::FALSE
        };
        let message = match self {
            Self::Healthy => words::CLUSTER_READY_MESSAGE.to_owned(),
            Self::Unhealthy => words::CLUSTER_NOT_READY_MESSAGE.to_owned(),
            Self::Refused(code) => format!(
                "cluster is reachable but refused our credentials ({code}): renew the token in the Secret of spec.secretRef"
            ),
            Self::Unreachable(_) => words::CLUSTER_NOT_REACHABLE_MESSAGE.to_owned(),
            Self::NoClient(error) => {
                format!("{}{error}", words::STATUS_COLLECTION_FAILED_MESSAGE_PREFIX)
            }
        };
        conditions::condition(words::READY, status, self.reason(), message)
    }

    /// What an event says: as the condition, with the error that a condition must not repeat because its text varies.
    pub(super) fn message(&self) -> String {
        let message = self.condition().message;
        match self {
            Self::Unreachable(error) => format!("{message}: {error}"),
            _ => message,
        }
    }
}

/// Asks `/readyz`, and `/healthz` of servers that do not have it.
pub(super) async fn probe(member: &Client) -> Health {
    match ask(member, "/readyz?timeout=32s").await {
        Ok(StatusCode::NOT_FOUND) => match ask(member, "/healthz?timeout=32s").await {
            Ok(answer) => judge(answer),
            Err(error) => Health::Unreachable(error),
        },
        Ok(answer) => judge(answer),
        Err(error) => Health::Unreachable(error),
    }
}

fn judge(answer: StatusCode) -> Health {
    match answer {
        StatusCode::OK => Health::Healthy,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Health::Refused(answer),
        _ => Health::Unhealthy,
    }
}

async fn ask(member: &Client, path: &str) -> Result<StatusCode, ApiError> {
    let request = Request::get(path)
        .body(Body::empty())
        .expect("both paths are valid");
    call(async {
        let response = member.send(request).await?;
        let code = response.status();
        // The body is read so that the connection can be used again.
        response.into_body().collect_bytes().await?;
        Ok(code)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_means_reachable() {
        for (code, status, reason, message) in [
            (200, "True", "ClusterReady", words::CLUSTER_READY_MESSAGE),
            (
                202,
                "False",
                "ClusterNotReady",
                words::CLUSTER_NOT_READY_MESSAGE,
            ),
            (
                500,
                "False",
                "ClusterNotReady",
                words::CLUSTER_NOT_READY_MESSAGE,
            ),
            (
                401,
                "False",
                "ClusterNotReady",
                "cluster is reachable but refused our credentials (401 Unauthorized): renew the token in the Secret of spec.secretRef",
            ),
            (
                403,
                "False",
                "ClusterNotReady",
                "cluster is reachable but refused our credentials (403 Forbidden): renew the token in the Secret of spec.secretRef",
            ),
        ] {
            let condition = judge(StatusCode::from_u16(code).unwrap()).condition();
            assert_eq!(condition.status, status, "{code}");
            assert_eq!(condition.reason, reason, "{code}");
            assert_eq!(condition.message, message, "{code}");
        }
    }

    #[test]
    fn no_answer_and_no_client() {
        let timeout = Health::Unreachable(ApiError::Timeout(std::time::Duration::from_secs(32)));
        assert_eq!(timeout.condition().reason, "ClusterNotReachable");
        assert_eq!(timeout.condition().message, "cluster is not reachable");
        assert_eq!(
            timeout.message(),
            "cluster is not reachable: no answer within 32 s"
        );
        let no_secret = Health::NoClient(ConnectError::SecretNotFound("m1".into()));
        assert_eq!(no_secret.condition().reason, "StatusCollectionFailed");
        assert_eq!(
            no_secret.condition().message,
            "failed to create a ClusterClient: Secret \"m1\" not found"
        );
    }
}
