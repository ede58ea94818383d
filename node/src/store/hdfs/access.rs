//! Which namenodes are asked, and by what right.
//!
//! Hadoop without Kerberos believes whoever asks (`user.name`). With Kerberos it wants SPNEGO, which is not
//! spoken here, or a delegation token, which is; a gateway such as Knox wants a password or a bearer token.
//! All but the name are secrets, and cross no network in plain text.

use std::path::{Path, PathBuf};

use airlift_protocol::error::ErrorCode;
use reqwest::Url;
use serde::Deserialize;

use crate::store::StoreError;

/// Ports of a namenode's HTTP and HTTPS, as Hadoop 3 has them.
const HTTP_PORT: u16 = 9870;
const HTTPS_PORT: u16 = 9871;

/// What the variables begin with for a server that a location names.
const VARIABLES: &str = "HDFS_";

/// Bytes of a file with a token that are not doubted.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// What the user can do where Kerberos is asked for.
pub(super) const WAY_OUT: &str = "Kerberos (SPNEGO) is not spoken here: fetch a delegation token (curl \
    --negotiate -u : 'ENDPOINT/webhdfs/v1/?op=GETDELEGATIONTOKEN') and name its file in credentials, or use a \
    gateway with a password (Knox)";

/// The namenodes of one file system, and who asks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HdfsServer {
    /// URL of a namenode, or of a gateway, without a `/` at the end.
    pub endpoint: String,
    /// URL of the other namenode, where one takes over from the other.
    pub standby: Option<String>,
    /// Who asks; without it the user as Hadoop's own tools see it.
    pub user: Option<String>,
    /// Where secrets are, when there are some.
    pub credentials: HdfsCredentials,
}

/// Where the namenodes of a store are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HdfsPlace {
    /// The location itself names one, as its bucket, and says by its scheme whether TLS is spoken.
    Location(HdfsTransport),
    /// At configured URLs: the buckets of the store are directories of the file system's root.
    Server(HdfsServer),
}

/// Where the secrets of a file system are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HdfsCredentials {
    /// There are none.
    #[default]
    None,
    /// In variables with this at their begin: `DELEGATION_TOKEN`, `BEARER_TOKEN`, or `USERNAME` with `PASSWORD`.
    Variables(String),
    /// A delegation token in a file.
    File(PathBuf),
}

/// What a namenode is spoken to over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HdfsTransport {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl HdfsServer {
    /// The server that a location names as `host[:port]`, with the credentials of the environment.
    ///
    /// # Errors
    /// When it names a user, or no host.
    pub fn at(authority: &str, transport: HdfsTransport) -> Result<Self, StoreError> {
        let (scheme, port) = match transport {
            HdfsTransport::Http => ("http", HTTP_PORT),
            HdfsTransport::Https => ("https", HTTPS_PORT),
        };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let endpoint = match has_port {
            true => format!("{scheme}://{authority}"),
            false => format!("{scheme}://{authority}:{port}"),
        };
        let is_url = Url::parse(&endpoint).is_ok_and(|url| url.has_host());
        if authority.contains('@') || !is_url {
            let text = format!(
                "hdfs://{authority}: write hdfs://host[:port]/path, and who asks as HADOOP_USER_NAME"
            );
            return Err(StoreError::new(ErrorCode::LocationMissing, text));
        }
        let names = ["DELEGATION_TOKEN", "BEARER_TOKEN", "PASSWORD"];
        let credentials = match names.iter().any(|name| variable(VARIABLES, name).is_some()) {
            true => HdfsCredentials::Variables(VARIABLES.to_owned()),
            false => HdfsCredentials::None,
        };
        Ok(Self { endpoint, standby: None, user: None, credentials })
    }

    /// URLs of the namenodes.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &str> {
        [Some(&self.endpoint), self.standby.as_ref()].into_iter().flatten().map(String::as_str)
    }

    /// By what right is asked.
    ///
    /// # Errors
    /// When secrets are named and not there, or would be sent for everybody to read.
    pub(super) fn right(&self) -> Result<Right, StoreError> {
        let refused = |text: String| Err(StoreError::new(ErrorCode::Unauthorized, text));
        let right = match &self.credentials {
            HdfsCredentials::None => {
                return Ok(Right::Name(self.user.clone().or_else(user_of_process)));
            }
            HdfsCredentials::File(path) => Right::Delegation(read_token(path)?),
            HdfsCredentials::Variables(prefix) => match of_variables(prefix) {
                Some(right) => right,
                None => {
                    return refused(format!(
                        "no credentials were found: set {prefix}DELEGATION_TOKEN, {prefix}BEARER_TOKEN, or \
                         {prefix}USERNAME and {prefix}PASSWORD"
                    ));
                }
            },
        };
        match self.endpoints().find(|url| !keeps_secrets(url)) {
            None => Ok(right),
            Some(url) => refused(format!(
                "{url} would get the credentials for everybody on the way to read: use an https:// endpoint"
            )),
        }
    }
}

/// By what right requests are made.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Right {
    /// A name that is believed.
    Name(Option<String>),
    /// A delegation token of the file system.
    Delegation(String),
    /// A token for a gateway.
    Bearer(String),
    /// User and password, for a gateway.
    Password(String, String),
}

impl std::fmt::Debug for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name(_) => "Name",
            Self::Delegation(_) => "Delegation",
            Self::Bearer(_) => "Bearer",
            Self::Password(..) => "Password",
        })
    }
}

impl Right {
    /// What it adds to the query of a request.
    pub(super) fn query(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Name(name) => name.as_deref().map(|name| ("user.name", name)),
            Self::Delegation(token) => Some(("delegation", token)),
            Self::Bearer(_) | Self::Password(..) => None,
        }
    }

    /// Whether something would be given away where everybody can read it.
    pub(super) fn is_secret(&self) -> bool {
        !matches!(self, Self::Name(_))
    }
}

/// Whether what is sent to `url` crosses no network in plain text.
pub(super) fn keeps_secrets(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    url.scheme() == "https"
        || host == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

fn variable(prefix: &str, name: &str) -> Option<String> {
    std::env::var(format!("{prefix}{name}")).ok().filter(|text| !text.is_empty())
}

fn of_variables(prefix: &str) -> Option<Right> {
    let delegation = variable(prefix, "DELEGATION_TOKEN").map(Right::Delegation);
    let bearer = || variable(prefix, "BEARER_TOKEN").map(Right::Bearer);
    let password = || {
        let (user, password) = variable(prefix, "USERNAME").zip(variable(prefix, "PASSWORD"))?;
        Some(Right::Password(user, password))
    };
    delegation.or_else(bearer).or_else(password)
}

/// Who Hadoop's own tools would be.
fn user_of_process() -> Option<String> {
    ["HADOOP_USER_NAME", "USER", "LOGNAME"].iter().find_map(|name| variable("", name))
}

/// What GETDELEGATIONTOKEN answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Token")]
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    #[serde(rename = "urlString")]
    url_string: String,
}

/// A token as text, or in the server's answer.
fn read_token(path: &Path) -> Result<String, StoreError> {
    let wrong = |why: &str| {
        let text = format!("the delegation token in {} cannot be used: {why}", path.display());
        StoreError::new(ErrorCode::Unauthorized, text)
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(&error.to_string()))?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= TOKEN_BYTES_MAX);
    let advice = "it is no text: save the answer of op=GETDELEGATIONTOKEN, or its urlString";
    let text = text.ok_or_else(|| wrong(advice))?;
    let token = match serde_json::from_str::<Answer>(&text) {
        Ok(answer) => answer.token.url_string,
        Err(_) => text.trim().to_owned(),
    };
    let is_token = !token.is_empty()
        && token.chars().all(|c| c.is_ascii_alphanumeric() || "-_=+/".contains(c));
    is_token.then_some(token).ok_or_else(|| wrong(advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(endpoint: &str, credentials: HdfsCredentials) -> HdfsServer {
        HdfsServer { endpoint: endpoint.to_owned(), standby: None, user: None, credentials }
    }

    #[test]
    fn a_location_names_host_and_port() {
        for (authority, transport, endpoint) in [
            ("nn", HdfsTransport::Http, "http://nn:9870"),
            ("nn:50070", HdfsTransport::Http, "http://nn:50070"),
            ("[::1]", HdfsTransport::Https, "https://[::1]:9871"),
            ("[::1]:7", HdfsTransport::Https, "https://[::1]:7"),
        ] {
            let found = HdfsServer::at(authority, transport).unwrap();
            assert_eq!(found.endpoint, endpoint);
        }
        for wrong in ["me@nn", "nn:x", ""] {
            let error = HdfsServer::at(wrong, HdfsTransport::Http).unwrap_err();
            assert!(error.detail().contains("HADOOP_USER_NAME"), "{wrong}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_sent_in_plain_text_over_a_network() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"Token\":{\"urlString\":\"HAAEcm9vdA\"}}").unwrap();
        let credentials = HdfsCredentials::File(file.path().to_owned());
        for (url, is_kept) in [
            ("https://nn:9871", true),
            ("http://nn:9870", false),
            ("http://127.0.0.1:9870", true),
            ("http://localhost:1", true),
            ("http://127.0.0.1.example.org", false),
        ] {
            let right = server(url, credentials.clone()).right();
            match right {
                Ok(right) => {
                    assert_eq!((is_kept, right.query()), (true, Some(("delegation", "HAAEcm9vdA"))))
                }
                Err(error) => {
                    assert!(!is_kept && error.detail().contains("everybody"), "{url}: {error}")
                }
            }
        }
        let standby = HdfsServer {
            standby: Some("http://nn2".to_owned()),
            ..server("https://nn1", credentials)
        };
        assert!(standby.right().is_err(), "the other one would get it too");
    }

    #[test]
    fn a_token_is_text_and_what_is_none_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            read_token(file.path())
        };
        assert_eq!(read(b"HAAE-_=\n").unwrap(), "HAAE-_=");
        for wrong in [&b"HDTS\0\x01"[..], b"", b"a b", b"\xff"] {
            let error = read(wrong).unwrap_err();
            assert!(error.detail().contains("GETDELEGATIONTOKEN"), "{error}");
        }
        let missing =
            server("https://nn", HdfsCredentials::File("/nonexistent/token".into())).right();
        assert_eq!(missing.unwrap_err().code, ErrorCode::Unauthorized);
        let nobody = HdfsCredentials::Variables("AIRLIFT_TEST_NOBODY_".to_owned());
        let error = server("https://nn", nobody).right().unwrap_err();
        assert!(error.detail().contains("AIRLIFT_TEST_NOBODY_DELEGATION_TOKEN"), "{error}");
    }

    #[test]
    fn no_secret_is_ever_shown() {
        let secrets = [
            Right::Delegation("secret".to_owned()),
            Right::Bearer("secret".to_owned()),
            Right::Password("secret".to_owned(), "secret".to_owned()),
        ];
        assert!(
            secrets
                .iter()
                .all(|right| right.is_secret() && !format!("{right:?}").contains("secret"))
        );
    }
}
