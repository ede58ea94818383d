//! What a node shows to clients of its API, and the URL by which they know it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::directory::{Directory, NodeRecord};
use crate::api::server::is_exposed;
use crate::api::tls::{Certificate, CertificateFiles, TlsError};
use crate::runtime::embedded::RunError;

/// The certificate of the API: the operator's; else the node's own, where other machines reach it and that
/// is not accepted to be in plain text.
///
/// # Errors
/// When it cannot be read or made.
pub(super) fn certificate(
    directory: &Directory,
    record: &NodeRecord,
    files: Option<&CertificateFiles>,
) -> Result<Option<Certificate>, RunError> {
    let unusable = |error: TlsError| RunError::usage(format!("certificate of the API: {error}"));
    match files {
        Some(files) => Certificate::of_files(files.clone()).map(Some).map_err(unusable),
        None if record.allow_insecure_api || !is_exposed(record.api) => Ok(None),
        None => own(directory, record).map(Some),
    }
}

/// The certificate that the node has made, at the first call.
fn own(directory: &Directory, record: &NodeRecord) -> Result<Certificate, RunError> {
    let failed = |error: TlsError| RunError::cannot_run(error.to_string());
    let pem = match directory.read_api_certificate()? {
        Some(pem) => pem,
        None => {
            let mut others = vec!["localhost".to_owned()];
            others.push(reached(record.api).ip().to_string());
            let pem = Certificate::generate(&record.name, &others).map_err(failed)?;
            directory.write_api_certificate(&pem)?;
            pem
        }
    };
    Certificate::own(&pem, &directory.api_certificate()).map_err(failed)
}

/// Where the API answers on this machine.
pub(super) fn url(address: SocketAddr, certificate: Option<&Certificate>) -> String {
    let address = reached(address);
    match certificate {
        None => format!("http://{address}"),
        // An operator's has other names than this address.
        Some(certificate) => format!("https://{address}#{}", certificate.fingerprint()),
    }
}

/// An address of all interfaces is none that can be asked.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> NodeRecord {
        NodeRecord {
            name: "berlin".to_owned(),
            listen: "127.0.0.1:7401".parse().unwrap(),
            reach: Default::default(),
            api: "127.0.0.1:7400".parse().unwrap(),
            allow_insecure_api: false,
            cluster: [0; 16],
            raft: None,
            founding: None,
            members: Vec::new(),
            members_version: 0,
            starts: 0,
        }
    }

    fn shown(api: &str, allow_insecure_api: bool) -> String {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::create(root.path()).unwrap();
        let record = NodeRecord { api: api.parse().unwrap(), allow_insecure_api, ..record() };
        let urls = [(), ()].map(|()| {
            let certificate = certificate(&directory, &record, None).unwrap();
            url(record.api, certificate.as_ref())
        });
        assert_eq!(urls[0], urls[1], "the certificate is made once");
        let [url, _] = urls;
        url
    }

    #[test]
    fn what_other_machines_reach_is_encrypted_unless_that_is_not_wanted() {
        assert_eq!(shown("127.0.0.1:7400", false), "http://127.0.0.1:7400");
        assert_eq!(shown("0.0.0.0:7400", true), "http://127.0.0.1:7400");
        let url = shown("0.0.0.0:7400", false);
        assert!(url.starts_with("https://127.0.0.1:7400#sha256:"), "{url}");
        assert!(shown("[2001:db8::1]:7400", false).starts_with("https://[2001:db8::1]:7400#"));
    }

    #[test]
    fn an_operators_certificate_is_shown_on_the_loopback_too() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::create(root.path()).unwrap();
        let file = root.path().join("tls.pem");
        std::fs::write(&file, Certificate::generate("berlin", &[]).unwrap()).unwrap();
        let files = CertificateFiles { certificate: file.clone(), key: file };
        let found = certificate(&directory, &record(), Some(&files)).unwrap();
        let address = "127.0.0.1:7400".parse().unwrap();
        assert!(url(address, found.as_ref()).starts_with("https://127.0.0.1:7400#sha256:"));
        let files = CertificateFiles { key: root.path().join("none"), ..files };
        let error = certificate(&directory, &record(), Some(&files)).unwrap_err().message;
        assert!(error.contains("none"), "{error}");
    }
}
