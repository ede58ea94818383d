//! The certificate that a node shows to clients: the operator's, or one that the node has made itself.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{NoKeyLog, ServerConfig};
use thiserror::Error;

use super::Fingerprint;

/// Bytes of a file with certificates or a key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is spoken within.
const PROTOCOL: &[u8] = b"http/1.1";

/// Why there is no certificate to show.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is in it is not what it should be.
    #[error("{place}: {reason}")]
    Unusable {
        /// The file or files.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

/// Where an operator's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those of the authorities above it, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// A certificate that can be exchanged while it is shown.
#[derive(Clone, Debug)]
pub struct Certificate {
    shown: Arc<Shown>,
    files: Option<CertificateFiles>,
}

#[derive(Debug)]
struct Shown(RwLock<Loaded>);

#[derive(Clone, Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    /// The texts that it was read from, to see whether they have changed.
    pem: Pem,
}

#[derive(Clone, PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Keys stay out of logs.
impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pem(…)")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}

impl Certificate {
    /// A certificate with its key, made anew for these names and addresses, as PEM. It is good for as
    /// long as its key is kept: what it is known by is its fingerprint.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn generate(name: &str, others: &[String]) -> Result<String, TlsError> {
        let unusable = |error: rcgen::Error| unusable("the node's own certificate", error);
        let names: Vec<String> = std::iter::once(name.to_owned()).chain(others.to_vec()).collect();
        let mut wanted = CertificateParams::new(names).map_err(unusable)?;
        wanted.distinguished_name.push(DnType::CommonName, format!("Airlift node {name}"));
        wanted.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        // Browsers know no certificates with keys such as the node's own.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unusable)?;
        let made = wanted.self_signed(&key).map_err(unusable)?;
        Ok(format!("{}{}", made.pem(), key.serialize_pem()))
    }

    /// The one that the node has made.
    ///
    /// # Errors
    /// When the text is not one of [`generate`](Self::generate).
    pub fn own(pem: &str, path: &Path) -> Result<Self, TlsError> {
        let text = pem.as_bytes().to_vec();
        let pem = Pem { certificate: text.clone(), key: text };
        let key = certified(&pem, &path.display().to_string())?;
        Ok(Self { shown: Arc::new(Shown(RwLock::new(Loaded { key, pem }))), files: None })
    }

    /// The operator's.
    ///
    /// # Errors
    /// When a file cannot be read, or the two do not belong together.
    pub fn of_files(files: CertificateFiles) -> Result<Self, TlsError> {
        let loaded = load(&files)?;
        Ok(Self { shown: Arc::new(Shown(RwLock::new(loaded))), files: Some(files) })
    }

    /// Reads the files again; true when they have changed, and the new ones are shown from now on.
    ///
    /// # Errors
    /// When they cannot be used. What was shown before still is.
    pub fn renew(&self) -> Result<bool, TlsError> {
        let Some(files) = &self.files else { return Ok(false) };
        let pem = Pem { certificate: read(&files.certificate)?, key: read(&files.key)? };
        if self.shown.0.read().unwrap_or_else(PoisonError::into_inner).pem == pem {
            return Ok(false);
        }
        let key = certified(&pem, &place(files))?;
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Loaded { key, pem };
        Ok(true)
    }

    /// What it is known by.
    pub fn fingerprint(&self) -> Fingerprint {
        let shown = self.shown.0.read().unwrap_or_else(PoisonError::into_inner);
        let leaf = shown.key.cert.first();
        Fingerprint::of(leaf.expect("invariant: what was loaded begins with a certificate"))
    }

    /// How connections are answered.
    pub(in crate::api) fn server(&self) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("TLS", error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.shown) as _);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Session keys are not for the environment to ask for.
        config.key_log = Arc::new(NoKeyLog);
        Ok(config)
    }
}

fn place(files: &CertificateFiles) -> String {
    format!("{} with the key {}", files.certificate.display(), files.key.display())
}

fn load(files: &CertificateFiles) -> Result<Loaded, TlsError> {
    let pem = Pem { certificate: read(&files.certificate)?, key: read(&files.key)? };
    Ok(Loaded { key: certified(&pem, &place(files))?, pem })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn certified(pem: &Pem, place: &str) -> Result<Arc<CertifiedKey>, TlsError> {
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(place, format!("no certificates as PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(unusable(place, "there is no certificate: PEM is wanted"));
    }
    let key = PrivateKeyDer::from_pem_slice(&pem.key)
        .map_err(|error| unusable(place, format!("no key as PEM: {error}")))?;
    CertifiedKey::from_der(certificates, key, &default_provider())
        .map(Arc::new)
        .map_err(|error| unusable(place, format!("the two do not belong together: {error}")))
}

fn unusable(place: &str, reason: impl ToString) -> TlsError {
    TlsError::Unusable { place: place.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn made() -> String {
        Certificate::generate("berlin", &["192.0.2.1".to_owned()]).unwrap()
    }

    #[test]
    fn a_nodes_own_certificate_is_the_same_each_time_it_is_read() {
        let (pem, path) = (made(), Path::new("api.pem"));
        let own = Certificate::own(&pem, path).unwrap();
        assert_eq!(own.fingerprint(), Certificate::own(&pem, path).unwrap().fingerprint());
        assert!(!own.renew().unwrap());
        assert!(!format!("{own:?}").contains("PRIVATE"));
        let error = Certificate::own("nothing", path).unwrap_err().to_string();
        assert!(error.starts_with("api.pem: "), "{error}");
    }

    #[test]
    fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| directory.path().join(name));
        let write = |pem: &str| {
            fs::write(&certificate, pem).unwrap();
            fs::write(&key, pem).unwrap();
        };
        let (first, second) = (made(), made());
        write(&first);
        let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
        let shown = Certificate::of_files(files).unwrap();
        let before = shown.fingerprint();
        assert!(!shown.renew().unwrap());
        fs::write(&certificate, &second).unwrap();
        let error = shown.renew().unwrap_err().to_string();
        assert!(error.contains("do not belong together"), "{error}");
        assert_eq!(shown.fingerprint(), before);
        write(&second);
        assert!(shown.renew().unwrap());
        assert_ne!(shown.fingerprint(), before);
        fs::remove_file(&key).unwrap();
        assert!(shown.renew().unwrap_err().to_string().contains("tls.key"));
    }
}
