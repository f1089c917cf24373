//! Calls interpreter webhooks: HTTPS by kube's client (hyper and rustls), HTTP/1.1, no credentials of ours.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::object::{Gvk, Key};
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use interpreter::webhook::{Address, Call, Reply, address_of_service, address_of_url};
use k8s_openapi::api::{admissionregistration::v1::WebhookClientConfig, core::v1::Service};
use kube::{
    Api, Client, Config,
    client::{Body, ClientBuilder},
};
use parking_lot::Mutex;
use runtime::{ApiError, dynamic::DynamicStores};
use tokio::sync::Semaphore;

/// Clients that are kept, each with its connections.
const MAX_CLIENTS: usize = 200;
/// Calls to one server at a time; further ones wait for their turn.
const MAX_IN_FLIGHT: usize = 64;
/// How often a server is asked that wants to be asked again ...
const MAX_ATTEMPTS: usize = 10;
/// ... and how long it is left in peace at least, whatever it says.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// Longer replies are refused: a reply is about one object, which the API server would not store at half this size.
const MAX_REPLY: usize = 4 << 20;

pub(super) struct Caller {
    control_plane: Client,
    templates: Arc<DynamicStores>,
    servers: Mutex<HashMap<Id, Server>>,
}

/// What tells one server from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Id {
    host: String,
    port: u16,
    /// Of a Service, whose certificate is not for the address.
    server_name: Option<String>,
    ca_bundle: Vec<u8>,
}

#[derive(Clone)]
struct Server {
    client: Client,
    turns: Arc<Semaphore>,
    used: Instant,
}

impl Caller {
    pub(super) fn new(control_plane: Client, templates: Arc<DynamicStores>) -> Self {
        Self {
            control_plane,
            templates,
            servers: Mutex::default(),
        }
    }

    /// Makes the call; whatever goes wrong is the reply. The time limit is that of everything: finding the server, waiting for a
    /// turn, and being asked to come back.
    pub(super) async fn call(&self, call: &Call) -> Reply {
        let timeout = call.webhook.timeout;
        match tokio::time::timeout(timeout, self.try_call(call)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(problem)) => Reply::Failed(problem),
            Err(_) => Reply::Failed(format!("no answer within {} s", timeout.as_secs())),
        }
    }

    async fn try_call(&self, call: &Call) -> Result<Reply, String> {
        let client_config = &call.webhook.client;
        let (address, is_service) = self.address(client_config).await?;
        let server = self.server(client_config, &address, is_service)?;
        let body = serde_json::to_vec(&call.context).map_err(|error| error.to_string())?;
        let uri = format!("{}?{}", path(&address.path), call.query());
        // Nobody closes the semaphore.
        let _turn = server.turns.acquire().await.ok();
        let host = is_service.then_some(address.server_name.as_str());
        exchange(&server.client, &uri, host, &body).await
    }

    async fn address(&self, config: &WebhookClientConfig) -> Result<(Address, bool), String> {
        if let Some(service) = &config.service {
            let found = self.service(&service.namespace, &service.name).await?;
            let address = address_of_service(service, found.as_ref());
            return Ok((address.map_err(|error| error.to_string())?, true));
        }
        let url = config
            .url
            .as_deref()
            .ok_or("the webhook has neither url nor service")?;
        let address = address_of_url(url).map_err(|error| error.to_string())?;
        Ok((address, false))
    }

    /// A Service of the control plane, from the store of templates if Services are watched.
    async fn service(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<serde_json::Value>, String> {
        let services = self.templates.store(&Gvk::new("", "v1", "Service"));
        if let Some(services) = services.filter(|services| services.is_synced()) {
            let found = services.get(&Key::new(namespace, name));
            return Ok(found.map(|service| service.data.clone()));
        }
        let api: Api<Service> = Api::namespaced(self.control_plane.clone(), namespace);
        let found = runtime::error::call(api.get_opt(name)).await;
        let found = found.map_err(|error| format!("read Service {namespace}/{name}: {error}"))?;
        found
            .map(|service| serde_json::to_value(service).map_err(|error| error.to_string()))
            .transpose()
    }

    fn server(
        &self,
        config: &WebhookClientConfig,
        address: &Address,
        is_service: bool,
    ) -> Result<Server, String> {
        let id = Id {
            host: address.host.clone(),
            port: address.port,
            server_name: is_service.then(|| address.server_name.clone()),
            ca_bundle: config.ca_bundle.clone().unwrap_or_default().0,
        };
        let mut servers = self.servers.lock();
        if let Some(server) = servers.get_mut(&id) {
            server.used = Instant::now();
            return Ok(server.clone());
        }
        let server = Server {
            client: client(&id)?,
            turns: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            used: Instant::now(),
        };
        if servers.len() >= MAX_CLIENTS {
            let oldest = servers.iter().min_by_key(|(_, server)| server.used);
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.and_then(|id| servers.remove(&id));
        }
        servers.insert(id, server.clone());
        Ok(server)
    }
}

fn path(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

fn client(id: &Id) -> Result<Client, String> {
    let host = if id.host.contains(':') {
        format!("[{}]", id.host)
    } else {
        id.host.clone()
    };
    let url: Uri = format!("https://{host}:{}", id.port)
        .parse()
        .map_err(|error| format!("address {host}:{}: {error}", id.port))?;
    let mut config = Config::new(url);
    config.tls_server_name.clone_from(&id.server_name);
    config.default_retry = false;
    if !id.ca_bundle.is_empty() {
        let certificates = pem::parse_many(&id.ca_bundle)
            .map_err(|error| format!("the caBundle is no PEM: {error}"))?;
        let certificates: Vec<_> = certificates
            .into_iter()
            .filter(|block| block.tag() == "CERTIFICATE")
            .map(pem::Pem::into_contents)
            .collect();
        if certificates.is_empty() {
            return Err("the caBundle has no certificate".to_owned());
        }
        config.root_cert = Some(certificates);
    }
    let built = ClientBuilder::try_from(config).map(ClientBuilder::build);
    built.map_err(|error| format!("set up TLS: {}", ApiError::from(error)))
}

/// One question and its answer. A server that says when to come back is asked again then; the caller limits the time of it all.
async fn exchange(
    client: &Client,
    uri: &str,
    host: Option<&str>,
    body: &[u8],
) -> Result<Reply, String> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut request = Request::post(uri)
            // Exactly this: webhooks built on the reference's library compare it as text.
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(
                header::USER_AGENT,
                concat!("navarch/", env!("CARGO_PKG_VERSION")),
            );
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        let request = request
            .body(Body::from(body.to_vec()))
            .map_err(|error| format!("path {uri}: {error}"))?;
        let response = client
            .send(request)
            .await
            .map_err(|error| ApiError::from(error).to_string())?;
        let status = response.status();
        if (status.as_u16() == 429 || status.is_server_error())
            && attempt < MAX_ATTEMPTS
            && let Some(pause) = retry_after(response.headers())
        {
            tokio::time::sleep(pause.max(MIN_PAUSE)).await;
            continue;
        }
        let collected = Limited::new(response.into_body(), MAX_REPLY)
            .collect()
            .await;
        let body = collected.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!("the reply is longer than {} MiB", MAX_REPLY >> 20)
            } else {
                format!("read the reply: {error}")
            }
        })?;
        return Ok(Reply::Http {
            status: status.as_u16(),
            body: body.to_bytes().to_vec(),
        });
    }
}

fn retry_after(headers: &HeaderMap<HeaderValue>) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
