//! TLS on either side. Files are read again when they change, so that renewed certificates need no restart.

use std::{
    fs, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{
    TlsStream,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
        server::WebPkiClientVerifier,
        version::{TLS12, TLS13},
    },
};
use tonic::transport::server::Connected;

/// What HTTP/2 is called while TLS is negotiated.
const HTTP2: &[u8] = b"h2";

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read the certificates in {}: {cause}", path.display())]
    Certificates { path: PathBuf, cause: String },
    #[error("read the private key in {}: {cause}", path.display())]
    Key { path: PathBuf, cause: String },
    #[error("use the certificate in {}: {cause}", path.display())]
    Certificate { path: PathBuf, cause: String },
    #[error("use the authorities in {}: {cause}", path.display())]
    Authorities { path: PathBuf, cause: String },
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let fail = |cause: String| Error::Certificates {
        path: path.to_owned(),
        cause,
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| fail(error.to_string()))?;
    if found.is_empty() {
        return Err(fail("it holds none".to_owned()));
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| Error::Key {
        path: path.to_owned(),
        cause: error.to_string(),
    })
}

fn authorities(path: &Path) -> Result<Arc<RootCertStore>, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| Error::Authorities {
            path: path.to_owned(),
            cause: error.to_string(),
        })?;
    }
    Ok(Arc::new(store))
}

/// What a server shows and asks for.
#[derive(Clone, Debug, Default)]
pub struct ServerFiles {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The authorities of clients.
    pub client_authority: Option<PathBuf>,
    /// Whether clients need no certificate although their authorities are known.
    pub skip_client_verify: bool,
}

impl ServerFiles {
    /// The configuration; `None` without a certificate and its key, when the server speaks in the clear.
    pub fn load(&self) -> Result<Option<Arc<ServerConfig>>, Error> {
        let (Some(certificate), Some(key_file)) = (&self.certificate, &self.key) else {
            return Ok(None);
        };
        let unusable = |cause: String| Error::Certificate {
            path: certificate.clone(),
            cause,
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable(error.to_string()))?;
        let builder = match &self.client_authority {
            Some(path) if !self.skip_client_verify => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(authorities(path)?, provider());
                let verifier = verifier.build().map_err(|error| Error::Authorities {
                    path: path.clone(),
                    cause: error.to_string(),
                })?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(certificates(certificate)?, key(key_file)?)
            .map_err(|error| unusable(error.to_string()))?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Some(Arc::new(config)))
    }

    fn stamps(&self) -> Stamps {
        let stamp = |path: &Option<PathBuf>| {
            let metadata = fs::metadata(path.as_ref()?).ok()?;
            metadata.modified().ok()
        };
        [&self.certificate, &self.key, &self.client_authority].map(stamp)
    }
}

/// When the files were written.
type Stamps = [Option<SystemTime>; 3];

/// A server's configuration as its files are now.
#[derive(Debug)]
pub struct Reloading {
    files: ServerFiles,
    loaded: Mutex<(Stamps, Option<Arc<ServerConfig>>)>,
}

impl Reloading {
    pub fn new(files: ServerFiles) -> Result<Self, Error> {
        let stamps = files.stamps();
        let config = files.load()?;
        Ok(Self {
            files,
            loaded: Mutex::new((stamps, config)),
        })
    }

    /// The configuration for the next connection. Files that cannot be read leave it as it was.
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        let stamps = self.files.stamps();
        let mut loaded = self.loaded.lock();
        if loaded.0 != stamps {
            loaded.0 = stamps;
            match self.files.load() {
                Ok(config) => loaded.1 = config,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Changed certificates cannot be used, keeping the former ones"
                ),
            }
        }
        loaded.1.clone()
    }
}

/// What a client shows and trusts.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The authorities of servers.
    pub authority: Option<PathBuf>,
    /// Whether any server will do.
    pub skip_verify: bool,
}

impl ClientFiles {
    /// The configuration; `None` if neither authorities nor their absence are set, when the client speaks in the clear.
    pub fn load(&self) -> Result<Option<Arc<ClientConfig>>, Error> {
        let unusable = |cause: String| Error::Certificate {
            path: self.certificate.clone().unwrap_or_default(),
            cause,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| unusable(error.to_string()))?;
        let builder = match &self.authority {
            _ if self.skip_verify => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer(provider()))),
            Some(path) => builder.with_root_certificates(authorities(path)?),
            None => return Ok(None),
        };
        let mut config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key_file)) => builder
                .with_client_auth_cert(certificates(certificate)?, key(key_file)?)
                .map_err(|error| unusable(error.to_string()))?,
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Some(Arc::new(config)))
    }
}

/// Takes whoever answers for the server, as long as it holds the key that it shows.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection with or without TLS.
#[derive(Debug)]
pub enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
