//! Who is let in over TLS, and what everybody else is told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::api::client::{
    Client, ClientError, ClientErrorKind, Patience, Secret, parse_urls, readiness,
};
use crate::api::error::ApiCode;
use crate::api::fake::{Fake, TOKEN};
use crate::api::server::{ApiServer, Limits, ServerOptions};
use crate::api::tls::{Certificate, CertificateFiles, Fingerprint};

const SOON: Duration = Duration::from_secs(20);

async fn serve(certificate: &Certificate) -> ApiServer {
    let limits = Limits { renewal_interval: Duration::from_millis(20), ..Limits::default() };
    let certificate = Some(certificate.clone());
    let address = "127.0.0.1:0".parse().unwrap();
    let options = ServerOptions { address, certificate, allow_insecure: false, limits };
    ApiServer::start(options, Arc::new(Fake::default())).await.unwrap()
}

fn made() -> String {
    Certificate::generate("berlin", &[]).unwrap()
}

fn own() -> Certificate {
    Certificate::own(&made(), Path::new("api.pem")).unwrap()
}

async fn ask(url: &str) -> Result<String, ClientError> {
    let none = Duration::ZERO;
    let patience = Patience { first: none, electing: none, later: none };
    let client = Client::new(parse_urls(url).unwrap(), Secret::new(TOKEN), patience)?;
    client.cluster().await.map(|cluster| cluster.id)
}

fn pin(server: &ApiServer, fingerprint: Fingerprint) -> String {
    format!("https://{}#{fingerprint}", server.address())
}

#[tokio::test]
async fn a_pinned_certificate_is_trusted_and_no_other() {
    let certificate = own();
    let server = serve(&certificate).await;
    let right = pin(&server, certificate.fingerprint());
    assert_eq!(ask(&right).await.unwrap(), "c0ffee");
    let refusal = readiness(&parse_urls(&right).unwrap()[0]).await.unwrap();
    assert_eq!(refusal.as_deref(), Some("no leader is known"));
    let other = own().fingerprint();
    let error = ask(&pin(&server, other)).await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Distrusted, "{error}");
    let text = error.to_string();
    assert!(text.contains(&certificate.fingerprint().to_string()), "{text}");
    assert!(text.contains(&other.to_string()), "{text}");
}

#[tokio::test]
async fn who_comes_without_a_pin_or_in_plain_text_is_told_what_to_write() {
    let server = serve(&own()).await;
    let error = ask(&format!("https://{}", server.address())).await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Distrusted, "{error}");
    assert!(error.to_string().contains("#sha256:"), "{error}");
    let error = ask(&format!("http://{}", server.address())).await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Answered(ApiCode::Invalid), "{error}");
    assert!(error.to_string().contains("write https://"), "{error}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| directory.path().join(name));
    let write = |pem: &str| {
        std::fs::write(&certificate, pem).unwrap();
        std::fs::write(&key, pem).unwrap();
    };
    write(&made());
    let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
    let shown = Certificate::of_files(files).unwrap();
    let server = serve(&shown).await;
    let before = shown.fingerprint();
    assert!(ask(&pin(&server, before)).await.is_ok());
    write(&made());
    let renewed = async {
        while shown.fingerprint() == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, renewed).await.expect("the renewed certificate is shown");
    assert!(ask(&pin(&server, shown.fingerprint())).await.is_ok());
    assert!(ask(&pin(&server, before)).await.is_err());
}
