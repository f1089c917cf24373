//! Connections to member clusters: one client, one discovery and one set of stores per member.

use std::{collections::HashMap, sync::Arc};

use crds::{cluster::ClusterSpec, keys, object::Gvk};
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, Config, api::DynamicObject, config::AuthInfo};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::{
    discovery::{Mapper, Resource},
    dynamic::DynamicStores,
    error::ApiError,
    store::{Change, Store},
    watch::{Selection, drop_managed_fields},
};

/// What is needed to talk to a member; two equal ones share a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    endpoint: String,
    token: String,
    /// PEM; `None` when the serving certificate is not verified.
    ca: Option<Vec<u8>>,
    proxy: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Why a member cannot be connected to. The texts reach users through the Cluster's `Ready` condition.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cluster {0} has no spec.apiEndpoint")]
    NoEndpoint(String),
    #[error("cluster {0} has no spec.secretRef")]
    NoSecretRef(String),
    #[error("Secret {0:?} not found")]
    SecretNotFound(String),
    #[error("the secret for cluster {0} is missing a non-empty value for \"token\"")]
    NoToken(String),
    #[error("the secret for cluster {0} is missing the CA data key \"caBundle\"")]
    NoCa(String),
    #[error("the caBundle of cluster {cluster} is not PEM: {cause}")]
    BadCa { cluster: String, cause: String },
    #[error("the apiEndpoint or proxyURL of cluster {cluster} is not a URL: {cause}")]
    BadUrl { cluster: String, cause: String },
    #[error("build the client of cluster {cluster}: {source}")]
    Client { cluster: String, source: ApiError },
}

impl Credentials {
    /// Puts together what the Cluster and its Secret say.
    pub fn resolve(
        cluster: &str,
        spec: &ClusterSpec,
        secret: Option<&Secret>,
    ) -> Result<Self, ConnectError> {
        let endpoint = spec
            .api_endpoint
            .clone()
            .filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.ok_or_else(|| ConnectError::NoEndpoint(cluster.into()))?;
        let reference = spec
            .secret_ref
            .as_ref()
            .ok_or_else(|| ConnectError::NoSecretRef(cluster.into()))?;
        let secret = secret.ok_or_else(|| ConnectError::SecretNotFound(reference.name.clone()))?;
        let value = |key: &str| {
            secret
                .data
                .as_ref()
                .and_then(|data| data.get(key))
                .map(|bytes| bytes.0.clone())
        };
        let token = value("token")
            .and_then(|token| String::from_utf8(token).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty())
            .ok_or_else(|| ConnectError::NoToken(cluster.into()))?;
        let ca = if spec.insecure_skip_tls_verification.unwrap_or(false) {
            None
        } else {
            Some(value("caBundle").ok_or_else(|| ConnectError::NoCa(cluster.into()))?)
        };
        Ok(Self {
            endpoint,
            token,
            ca,
            proxy: spec.proxy_url.clone().filter(|proxy| !proxy.is_empty()),
        })
    }

    fn client(&self, cluster: &str) -> Result<Client, ConnectError> {
        let url = |text: &str| {
            text.parse::<http::Uri>()
                .map_err(|cause| ConnectError::BadUrl {
                    cluster: cluster.into(),
                    cause: cause.to_string(),
                })
        };
        let mut config = Config::new(url(&self.endpoint)?);
        config.accept_invalid_certs = self.ca.is_none();
        config.root_cert = self
            .ca
            .as_ref()
            .map(|pem| certificates(cluster, pem))
            .transpose()?;
        config.proxy_url = self.proxy.as_deref().map(url).transpose()?;
        config.auth_info = AuthInfo {
            token: Some(self.token.clone().into()),
            ..AuthInfo::default()
        };
        Client::try_from(config).map_err(|error| ConnectError::Client {
            cluster: cluster.into(),
            source: error.into(),
        })
    }
}

/// The DER certificates of a PEM bundle.
fn certificates(cluster: &str, bundle: &[u8]) -> Result<Vec<Vec<u8>>, ConnectError> {
    let bad = |cause: String| ConnectError::BadCa {
        cluster: cluster.into(),
        cause,
    };
    let blocks = pem::parse_many(bundle).map_err(|cause| bad(cause.to_string()))?;
    let certificates: Vec<Vec<u8>> = blocks
        .into_iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .map(pem::Pem::into_contents)
        .collect();
    if certificates.is_empty() {
        return Err(bad("it holds no certificate".into()));
    }
    Ok(certificates)
}

/// One connected member cluster.
pub struct Member {
    pub name: String,
    pub client: Client,
    /// What the member serves, as of the last status sync.
    pub mapper: Mapper,
    /// The objects of ours in the member, kind by kind as they are needed.
    objects: Arc<DynamicStores>,
    credentials: Credentials,
    /// Ends everything that runs for this connection.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Member {
    /// The store with our objects of a kind; its watch starts at the first call.
    pub fn managed(&self, resource: &Resource) -> Arc<Store<DynamicObject>> {
        self.objects.ensure(&resource.api)
    }

    /// The stores of all kinds that are watched.
    pub fn stores(&self) -> &DynamicStores {
        &self.objects
    }

    /// The store of a kind that is watched already.
    pub fn watched(&self, gvk: &Gvk) -> Option<Arc<Store<DynamicObject>>> {
        self.objects.store(gvk)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type ObjectHook = Arc<dyn Fn(&str, &Gvk, &Change<'_, DynamicObject>) + Send + Sync>;
type KindHook = Arc<dyn Fn(&str, &Gvk) + Send + Sync>;
type MemberHook = Arc<dyn Fn(&str) + Send + Sync>;

/// Every connected member, by name.
#[derive(Default)]
pub struct Members {
    connected: RwLock<HashMap<String, Arc<Member>>>,
    on_object: RwLock<Vec<ObjectHook>>,
    on_kind_synced: RwLock<Vec<KindHook>>,
    on_connected: RwLock<Vec<MemberHook>>,
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.connected.read().keys()).finish()
    }
}

impl Members {
    /// Calls `hook` with member, kind and change whenever an object of ours changes in a member. To be called before the
    /// first connection, like the two others.
    pub fn on_object(
        &self,
        hook: impl Fn(&str, &Gvk, &Change<'_, DynamicObject>) + Send + Sync + 'static,
    ) {
        self.on_object.write().push(Arc::new(hook));
    }

    /// Calls `hook` when the first list of a kind in a member is in.
    pub fn on_kind_synced(&self, hook: impl Fn(&str, &Gvk) + Send + Sync + 'static) {
        self.on_kind_synced.write().push(Arc::new(hook));
    }

    /// Calls `hook` when a member was connected, or connected anew with other credentials.
    pub fn on_connected(&self, hook: impl Fn(&str) + Send + Sync + 'static) {
        self.on_connected.write().push(Arc::new(hook));
    }

    pub fn member(&self, name: &str) -> Option<Arc<Member>> {
        self.connected.read().get(name).cloned()
    }

    /// Makes sure that the member is connected with these credentials. A connection with others is replaced, together with
    /// its watches, so that rotated tokens and certificates take effect at once.
    pub fn connect(
        &self,
        name: &str,
        credentials: Credentials,
    ) -> Result<Arc<Member>, ConnectError> {
        if let Some(member) = self.member(name)
            && member.credentials == credentials
        {
            return Ok(member);
        }
        let client = credentials.client(name)?;
        Ok(self.insert(name, client, credentials))
    }

    fn insert(&self, name: &str, client: Client, credentials: Credentials) -> Arc<Member> {
        let stop = CancellationToken::new();
        let selection = Selection {
            labels: Some(format!("{}=true", keys::MANAGED)),
            fields: None,
            cluster: Some(name.to_owned()),
        };
        let objects =
            DynamicStores::new(client.clone(), drop_managed_fields, selection, stop.clone());
        for hook in self.on_object.read().iter() {
            let (hook, name) = (Arc::clone(hook), name.to_owned());
            objects.subscribe(move |gvk, change| hook(&name, gvk, change));
        }
        for hook in self.on_kind_synced.read().iter() {
            let (hook, name) = (Arc::clone(hook), name.to_owned());
            objects.on_synced(move |gvk| hook(&name, gvk));
        }
        let member = Arc::new(Member {
            name: name.into(),
            client,
            mapper: Mapper::default(),
            objects,
            credentials,
            stop,
        });
        let replaced = self
            .connected
            .write()
            .insert(name.into(), Arc::clone(&member));
        if let Some(replaced) = replaced {
            replaced.stop.cancel();
        }
        for hook in self.on_connected.read().iter() {
            hook(name);
        }
        member
    }

    /// Forgets a member that left the fleet.
    pub fn disconnect(&self, name: &str) {
        let removed = self.connected.write().remove(name);
        if let Some(member) = removed {
            member.stop.cancel();
        }
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.connected.read().keys().cloned().collect();
        names.sort();
        names
    }
}
