//! Where a webhook is reached.

use http::{Uri, uri::Scheme};
use k8s_openapi::api::admissionregistration::v1::ServiceReference;
use serde_json::Value;

use crate::value::{integer_if_set, items, text};

const DEFAULT_PORT: u16 = 443;

/// Where to connect, and as whom the server has to identify itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address to connect to.
    pub host: String,
    pub port: u16,
    /// The name in the server's certificate, and the `Host` of the request.
    pub server_name: String,
    /// Begins with a slash, unless it is empty.
    pub path: String,
}

/// A webhook has no usable address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("{0:?} is no https URL with a host")]
    Url(String),
    #[error("Service {0} is headless")]
    Headless(String),
    #[error("Service {service} has no port {port}")]
    NoPort { service: String, port: u16 },
    #[error("Service {service} has the unsupported type {kind:?}")]
    Type { service: String, kind: String },
}

/// The address in a URL.
pub fn address_of_url(url: &str) -> Result<Address, AddressError> {
    let unusable = || AddressError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| unusable())?;
    let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
        return Err(unusable());
    };
    let is_plain = uri.scheme() == Some(&Scheme::HTTPS)
        && !host.is_empty()
        && uri.query().is_none()
        // The parser drops fragments.
        && !url.contains('#');
    let port = match authority.as_str().strip_prefix(host) {
        Some("") => Some(DEFAULT_PORT),
        // Neither is there a user in front of the host, nor anything but a port behind it.
        Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()),
        None => None,
    };
    let port = port.filter(|port| is_plain && *port > 0);
    let path = match uri.path() {
        "/" if !url.ends_with('/') => "",
        path => path,
    };
    Ok(Address {
        host: host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
        port: port.ok_or_else(unusable)?,
        server_name: host.to_owned(),
        path: path.to_owned(),
    })
}

/// The address of a Service of the control plane; `service` is the object, if it was found.
pub fn address_of_service(
    reference: &ServiceReference,
    service: Option<&Value>,
) -> Result<Address, AddressError> {
    let port = reference
        .port
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(DEFAULT_PORT);
    let server_name = format!("{}.{}.svc", reference.name, reference.namespace);
    let id = format!("{}/{}", reference.namespace, reference.name);
    let host = match service {
        // The DNS of the cluster that we run in may know it.
        None => server_name.clone(),
        Some(service) => match text(service, &["spec", "type"]).unwrap_or("ClusterIP") {
            "ClusterIP" | "NodePort" | "LoadBalancer" => {
                let address = text(service, &["spec", "clusterIP"]).unwrap_or_default();
                if address == "None" {
                    return Err(AddressError::Headless(id));
                }
                let is_port = |it: &Value| integer_if_set(it, &["port"]) == Some(port.into());
                if !items(service, &["spec", "ports"]).iter().any(is_port) {
                    return Err(AddressError::NoPort { service: id, port });
                }
                address.to_owned()
            }
            "ExternalName" => text(service, &["spec", "externalName"])
                .unwrap_or_default()
                .to_owned(),
            kind => {
                return Err(AddressError::Type {
                    service: id,
                    kind: kind.to_owned(),
                });
            }
        },
    };
    Ok(Address {
        host,
        port,
        server_name,
        path: reference.path.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::needless_pass_by_value,
        reason = "cases read better with their values in place"
    )]

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_url(url: &str, expected: Option<(&str, u16, &str)>) {
        let address = address_of_url(url).ok();
        let found = address
            .as_ref()
            .map(|it| (it.host.as_str(), it.port, it.path.as_str()));
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn urls() {
        check_url(
            "https://example.com/hook",
            Some(("example.com", 443, "/hook")),
        );
        check_url("https://example.com:8443", Some(("example.com", 8443, "")));
        check_url("https://[::1]:8443/x", Some(("::1", 8443, "/x")));
        check_url("https://[::1]", Some(("::1", 443, "")));
        check_url("HTTPS://example.com/", Some(("example.com", 443, "/")));
        for url in [
            "http://example.com",
            "https://a:0",
            "https://a:65536",
            "https://a:443x",
            "https://a b",
            "https://a/\u{7f}",
            "//a",
            "https://",
            "https://user@example.com",
            "https://a/b?c",
            "https://a/#b",
            "https://a:b",
        ] {
            check_url(url, None);
        }
    }

    #[track_caller]
    fn check_service(service: Option<Value>, expected: Result<&str, &str>) {
        let reference = ServiceReference {
            name: "hook".into(),
            namespace: "demo".into(),
            path: Some("/interpret".into()),
            port: Some(8443),
        };
        let found = address_of_service(&reference, service.as_ref()).map(|address| {
            assert_eq!(
                (address.server_name.as_str(), address.path.as_str()),
                ("hook.demo.svc", "/interpret")
            );
            format!("{}:{}", address.host, address.port)
        });
        assert_eq!(
            found.as_deref().map_err(ToString::to_string),
            expected.map_err(str::to_owned)
        );
    }

    #[test]
    fn services() {
        let with = |spec: Value| Some(json!({"spec": spec}));
        check_service(None, Ok("hook.demo.svc:8443"));
        check_service(
            with(json!({"clusterIP": "10.0.0.1", "ports": [{"port": 8443}]})),
            Ok("10.0.0.1:8443"),
        );
        check_service(
            with(json!({"type": "NodePort", "clusterIP": "10.0.0.1", "ports": [{"port": 8443}]})),
            Ok("10.0.0.1:8443"),
        );
        check_service(
            with(json!({"type": "ExternalName", "externalName": "example.com"})),
            Ok("example.com:8443"),
        );
        check_service(
            with(json!({"clusterIP": "None"})),
            Err("Service demo/hook is headless"),
        );
        check_service(
            with(json!({"clusterIP": "10.0.0.1", "ports": [{"port": 443}]})),
            Err("Service demo/hook has no port 8443"),
        );
        check_service(
            with(json!({"type": "Odd"})),
            Err("Service demo/hook has the unsupported type \"Odd\""),
        );
    }
}
