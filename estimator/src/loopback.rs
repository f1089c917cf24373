//! A server on this machine and certificates for both sides, for tests.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;

use crate::{
    client::Address,
    server::listen,
    tls::{ClientFiles, Reloading, ServerFiles},
    wire::service::estimator_server::{Estimator, EstimatorServer},
};

/// Serves until the guard is dropped, at this address.
pub(crate) async fn serve(
    estimator: impl Estimator,
    files: ServerFiles,
) -> (Vec<Address>, DropGuard) {
    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else {
        panic!("bound to 127.0.0.1");
    };
    let tls = Arc::new(Reloading::new(files).unwrap());
    let connections = listen::connections(listener, tls, stop.clone());
    tokio::spawn(
        Server::builder()
            .add_service(EstimatorServer::new(estimator))
            .serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned()),
    );
    let address = Address {
        host: "localhost".to_owned(),
        port: address.port(),
    };
    (vec![address], stop.drop_guard())
}

/// An authority, with a certificate for the server and one for the client.
pub(crate) struct Pki(TempDir);

impl Pki {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            fs::write(folder.path().join(format!("{name}.crt")), certificate.pem()).unwrap();
            fs::write(
                folder.path().join(format!("{name}.key")),
                key.serialize_pem(),
            )
            .unwrap();
        }
        Self(folder)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn server(&self) -> ServerFiles {
        ServerFiles {
            certificate: Some(self.file("server.crt")),
            key: Some(self.file("server.key")),
            client_authority: Some(self.file("ca.crt")),
            skip_client_verify: false,
        }
    }

    pub(crate) fn client(&self) -> ClientFiles {
        ClientFiles {
            certificate: Some(self.file("client.crt")),
            key: Some(self.file("client.key")),
            authority: Some(self.file("ca.crt")),
            skip_verify: false,
        }
    }
}
