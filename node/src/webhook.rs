//! Webhooks: other programs are told what has happened to jobs, by a signed HTTP request.
//!
//! | module | what |
//! |---|---|
//! | [`message`] | what is told: the JSON, and its signature |
//! | [`sender`] | one request, and what came of it |
//!
//! Who is told stands in the node's own file; secrets are named there and read when they are needed. They
//! are in no log, no state and no answer of the API, and neither are paths of URLs: many services take
//! whoever knows one for whoever may write there.

pub mod message;
pub mod sender;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

/// What has happened to a job, by the names that settings and messages use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A run was submitted.
    Submitted,
    /// Its first work was given out.
    Started,
    /// It rests.
    Paused,
    /// It goes on.
    Resumed,
    /// Every object has come to its end.
    Completed,
    /// It could not go on.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Submitted,
        Self::Started,
        Self::Paused,
        Self::Resumed,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Started => "started",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In this variable of the environment.
    Variable(String),
    /// In this file, which is read anew for each message: a secret can be changed without a restart.
    File(PathBuf),
}

/// What messages are signed with; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// Fewest bytes of a secret: less can be guessed.
const SECRET_BYTES_MIN: usize = 16;

impl SecretPlace {
    /// Reads the secret, without blanks and line ends around it. May block.
    ///
    /// # Errors
    /// When it is not there or too short: where, and never what.
    pub fn read(&self) -> Result<SigningSecret, String> {
        let text = match self {
            Self::Variable(name) => {
                std::env::var(name).map_err(|_| format!("the variable {name} is not set"))
            }
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("read {}: {}", path.display(), error.kind())),
        };
        let text = text?;
        let secret = text.trim().as_bytes();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!("the secret in {self} has fewer than {SECRET_BYTES_MIN} bytes"));
        }
        Ok(SigningSecret(secret.to_vec()))
    }
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Somebody who wants to be told.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name in the file.
    pub name: String,
    /// Where messages go.
    pub url: Url,
    /// What they are signed with.
    pub secret: SecretPlace,
    /// What is told.
    pub kinds: BTreeSet<Kind>,
}

impl Webhook {
    /// Scheme, host and port: as much of the URL as may be shown.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether messages stay on this machine.
    pub fn is_here(&self) -> bool {
        is_loopback(&self.url)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, url: _, secret, kinds } = self;
        let mut shown = f.debug_struct("Webhook");
        shown.field("name", name).field("origin", &self.origin());
        shown.field("secret", secret).field("kinds", kinds).finish()
    }
}

/// Reads each secret once, so that one that is not there is known before anything waits for it. May block.
///
/// # Errors
/// Which one cannot be used, and why.
pub fn check_secrets(webhooks: &[Webhook]) -> Result<(), String> {
    webhooks.iter().try_for_each(|webhook| {
        let why =
            |why: String| format!("[webhooks.{}]: messages cannot be signed: {why}", webhook.name);
        webhook.secret.read().map(drop).map_err(why)
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Refuses what a message must not be sent to.
///
/// # Errors
/// Why it is refused.
pub fn check_url(url: &Url, allow_http: bool) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user or a password has a secret in it: leave them out".to_owned());
    }
    if url.host_str().is_none() {
        return Err("it has no host".to_owned());
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) || allow_http => Ok(()),
        "http" => Err("messages would cross the network in plain text: use https, or write \
                       allow_http = \"yes\""
            .to_owned()),
        other => Err(format!("'{other}' is no scheme for it: use https")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_by_https_or_stay_on_the_machine() {
        let check = |url: &str, allow| check_url(&Url::parse(url).unwrap(), allow);
        for url in ["https://a/x", "http://127.0.0.1:9/x", "http://[::1]/", "http://localhost/"] {
            assert_eq!(check(url, false), Ok(()), "{url}");
        }
        assert_eq!(check("http://a/x", true), Ok(()));
        for (url, expected) in [
            ("http://a/x", "plain text"),
            ("http://127.0.0.1.example/x", "plain text"),
            ("https://user:pw@a/", "has a secret in it"),
            ("ftp://a/", "is no scheme"),
        ] {
            assert!(check(url, false).unwrap_err().contains(expected), "{url}");
        }
    }

    #[test]
    fn of_a_url_only_the_origin_is_shown() {
        let webhook = |url: &str| Webhook {
            name: "chat".to_owned(),
            url: Url::parse(url).unwrap(),
            secret: SecretPlace::Variable("AIRLIFT_TEST_NO_SUCH_SECRET".to_owned()),
            kinds: BTreeSet::from([Kind::Failed]),
        };
        let chat = webhook("https://hooks.example.org:8443/services/T0ken?key=T0ken#T0ken");
        assert_eq!(chat.origin(), "https://hooks.example.org:8443");
        let shown = format!("{chat:?}");
        assert!(shown.contains("https://hooks.example.org:8443") && !shown.contains("T0ken"));
        assert!(!chat.is_here() && webhook("http://127.8.0.1/x").is_here());
        assert!(webhook("http://[::1]:9/x").is_here() && webhook("https://localhost/x").is_here());
        let refused = check_secrets(&[chat]).unwrap_err();
        assert!(refused.starts_with("[webhooks.chat]: messages cannot be signed"), "{refused}");
        assert!(refused.contains("AIRLIFT_TEST_NO_SUCH_SECRET is not set"), "{refused}");
        assert_eq!(check_secrets(&[]), Ok(()));
    }

    #[test]
    fn a_secret_is_named_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "  0123456789abcdef0123\n").unwrap();
        let place = SecretPlace::File(path.clone());
        let secret = place.read().unwrap();
        assert_eq!(secret.0, b"0123456789abcdef0123");
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
        std::fs::write(&path, "hunter2").unwrap();
        let refused = place.read().unwrap_err();
        assert!(refused.contains("fewer than 16") && !refused.contains("hunter2"), "{refused}");
        let missing = SecretPlace::Variable("AIRLIFT_TEST_NO_SUCH_SECRET".to_owned());
        assert!(missing.read().unwrap_err().contains("is not set"));
    }
}
