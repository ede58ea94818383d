//! Whether somebody listens at a URL.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Check;
use crate::cli::console::words;

/// Time for a connection to the endpoint.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Whether somebody listens at `url`; `advice` says what to change when nobody does.
pub(super) async fn reach(name: &'static str, url: String, advice: &str) -> Check {
    match answers(&url).await {
        Ok(()) => Check::ok(name, format!("{url} answers")),
        Err(reason) => Check::fail(name, reason, advice),
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
