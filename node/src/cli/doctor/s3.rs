//! Checks of S3: credentials, and whether a configured endpoint answers.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::ProvideCredentials;

use super::Check;
use crate::cli::console::words;
use crate::runtime::clock;
use crate::store::settings::S3Settings;

/// Time for the whole credential chain, which may ask the network.
const CREDENTIALS_WAIT: Duration = Duration::from_secs(8);
/// Time for a connection to the endpoint.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Every check of S3.
pub(super) async fn checks(settings: &S3Settings) -> Vec<Check> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let loaded = loader.load().await;
    let mut checks = vec![credentials(&loaded).await];
    let region = loaded.region().map(ToString::to_string);
    checks.push(match region {
        Some(region) => Check::ok("S3 region", region),
        None => Check::warn("S3 region", "not set", "needed for AWS: set s3.region or AWS_REGION"),
    });
    let endpoint = settings.endpoint.clone();
    let endpoint = endpoint.or_else(|| std::env::var("AWS_ENDPOINT_URL_S3").ok());
    if let Some(url) = endpoint.or_else(|| loaded.endpoint_url().map(str::to_owned)) {
        checks.push(reach(url).await);
    }
    checks
}

async fn credentials(loaded: &aws_config::SdkConfig) -> Check {
    const NAME: &str = "S3 credentials";
    const ADVICE: &str = "needed for s3:// only: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials";
    let Some(provider) = loaded.credentials_provider() else {
        return Check::warn(NAME, "none found", ADVICE);
    };
    match tokio::time::timeout(CREDENTIALS_WAIT, provider.provide_credentials()).await {
        Ok(Ok(found)) => match found.expiry() {
            Some(expiry) if expiry <= UNIX_EPOCH + Duration::from_millis(clock::wall().0) => {
                Check::fail(NAME, "found, but expired", "renew them")
            }
            _ => Check::ok(NAME, "found"),
        },
        Ok(Err(_)) => Check::warn(NAME, "none found", ADVICE),
        Err(_) => Check::warn(NAME, "none found in time", ADVICE),
    }
}

async fn reach(url: String) -> Check {
    const NAME: &str = "S3 endpoint";
    let advice = "check the URL in s3.endpoint or AWS_ENDPOINT_URL, and the network";
    match answers(&url).await {
        Ok(()) => Check::ok(NAME, format!("{url} answers")),
        Err(reason) => Check::fail(NAME, reason, advice),
    }
}

/// Whether something listens where `url` leads; if not, why, in words that name it.
pub(super) async fn answers(url: &str) -> Result<(), String> {
    let host = host_and_port(url).ok_or_else(|| format!("{url} is no http:// or https:// URL"))?;
    match tokio::task::spawn_blocking(move || connect(&host)).await {
        Ok(connected) => connected.map_err(|reason| format!("{url}: {reason}")),
        Err(error) => Err(format!("{url}: {error}")),
    }
}

/// Connects to any of the addresses that `host` has.
fn connect(host: &str) -> Result<(), String> {
    let addresses = host.to_socket_addrs().map_err(|error| words(&error))?;
    let mut reason = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_WAIT) {
            Ok(_) => return Ok(()),
            Err(error) => reason = words(&error),
        }
    }
    Err(reason)
}

/// `host:port` of a URL, with the scheme's port when it names none.
fn host_and_port(url: &str) -> Option<String> {
    let (rest, port) = match url.split_once("://")? {
        ("http", rest) => (rest, 80),
        ("https", rest) => (rest, 443),
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next().filter(|host| !host.is_empty())?;
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    Some(if has_port { host.to_owned() } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn urls_give_host_and_port() {
        for (url, host) in [
            ("http://a", Some("a:80")),
            ("https://a.b/c:d", Some("a.b:443")),
            ("http://127.0.0.1:9000/", Some("127.0.0.1:9000")),
            ("https://[::1]", Some("[::1]:443")),
            ("https://[::1]:7", Some("[::1]:7")),
            ("http://user@h", Some("h:80")),
            ("ftp://a", None),
            ("http://", None),
        ] {
            assert_eq!(host_and_port(url).as_deref(), host, "{url}");
        }
    }

    #[test]
    fn a_listening_port_answers_and_a_closed_one_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        assert_eq!(connect(&host), Ok(()));
        drop(listener);
        assert!(connect(&host).is_err());
    }
}
