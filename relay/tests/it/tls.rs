//! TLS, and a certificate that is replaced while it runs.

use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use flagforge_relay::{Limits, Lock, Tls, serve};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const LONG: Duration = Duration::from_secs(20);

/// Puts a new certificate and key into a folder, and answers the certificate.
fn issue(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["relay.example".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

/// Asks with HTTP/1.1, believing one certificate.
async fn asked(address: SocketAddr, believed: &CertificateDer<'static>) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(believed.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("relay.example").unwrap();
    let mut stream = connector.connect(name, stream).await?;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: relay.example\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).await?;
    let mut text = String::new();
    timeout(LONG, stream.read_to_string(&mut text)).await??;
    Ok(text)
}

#[tokio::test]
async fn a_certificate_is_replaced_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    assert!(Tls::read(&certificate, &key).unwrap_err().to_string().contains("tls.crt"));
    let first = issue(folder.path());
    let tls = Tls::read(&certificate, &key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/healthz", get(async || "well"));
    let limits = Limits { head_within: Duration::from_millis(500), ..Limits::default() };
    tokio::spawn(serve(listener, app, limits, Lock::of(Arc::clone(&tls)), pending()));
    assert!(asked(address, &first).await.unwrap().contains("200 OK"));

    let second = issue(folder.path());
    tls.read_again().unwrap();
    assert!(asked(address, &second).await.unwrap().contains("200 OK"));
    assert!(asked(address, &first).await.is_err(), "the first is shown no more");

    for bad in ["", "no certificate"] {
        std::fs::write(&certificate, bad).unwrap();
        assert!(tls.read_again().unwrap_err().to_string().contains("tls.crt"));
    }
    // The certificate of another key.
    let elsewhere = tempfile::tempdir().unwrap();
    issue(elsewhere.path());
    std::fs::copy(elsewhere.path().join("tls.crt"), &certificate).unwrap();
    assert!(tls.read_again().is_err());
    assert!(asked(address, &second).await.unwrap().contains("200 OK"));

    // Who speaks no TLS, or nothing at all, is cut off.
    for said in [&b"GET /healthz HTTP/1.1\r\n\r\n"[..], b""] {
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        let read = timeout(LONG, plain.read_to_end(&mut heard)).await.unwrap();
        assert!(!String::from_utf8_lossy(&heard).contains("200 OK"), "{read:?}");
    }
}
