//! TLS for who asks, with certificates that are replaced while it runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{error, info};

/// How often the files are looked at: certificates are replaced days before they end.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Why there is no TLS.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read, or has no certificate or key.
    File(PathBuf, String),
    /// Certificate and key do not go together.
    Pair(rustls::Error),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Pair(why) => write!(f, "certificate and key: {why}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// A certificate with its key, from two files in PEM.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads both files: the chain, its own certificate first, and the key.
    pub fn read(certificate: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let config = ArcSwap::new(config(certificate, key)?);
        Ok(Arc::new(Self { certificate: certificate.into(), key: key.into(), config }))
    }

    /// Reads both files again. What cannot be used changes nothing.
    pub fn read_again(&self) -> Result<(), TlsError> {
        self.config.store(config(&self.certificate, &self.key)?);
        Ok(())
    }

    /// Looks every half minute whether either file was replaced, and goes on with what it has where the new ones are no good.
    /// It never returns.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = self.written();
        loop {
            sleep(LOOK_EVERY).await;
            let written = self.written();
            if written == seen {
                continue;
            }
            match self.read_again() {
                Ok(()) => info!(certificate = %self.certificate.display(), "a new certificate"),
                Err(error) => error!(%error, "a new certificate is no good; the last one stays"),
            }
            seen = written;
        }
    }

    fn written(&self) -> [Option<SystemTime>; 2] {
        let written = |path: &PathBuf| std::fs::metadata(path).and_then(|it| it.modified()).ok();
        [written(&self.certificate), written(&self.key)]
    }

    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.config.load_full()).accept(stream).await
    }
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let bad = |path: &Path, why: String| TlsError::File(path.into(), why);
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(bad(certificate, "no certificate in PEM is in it".into()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret));
    let mut config = config.map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
