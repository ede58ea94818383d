//! The cluster that jobs are sent to: whether each of its URLs answers, and whether the token crosses a
//! network in plain text on the way there.

use std::net::IpAddr;

use reqwest::Url;

use super::Check;
use crate::api::client::readiness;

const NAME: &str = "cluster";

/// One check for each URL.
pub(super) async fn checks(urls: &[Url]) -> Vec<Check> {
    let mut checks = Vec::new();
    for url in urls {
        checks.push(check(url).await);
    }
    checks
}

async fn check(url: &Url) -> Check {
    let shown = url.as_str().split('#').next().unwrap_or_default().trim_end_matches('/');
    match readiness(url).await {
        Err(error) => Check::fail(NAME, format!("{shown} cannot be used"), error.to_string()),
        Ok(Some(reason)) => Check::warn(
            NAME,
            format!("{shown} is not ready: {reason}"),
            "look at the voters with airlift cluster status",
        ),
        Ok(None) if is_open(url) => Check::warn(
            NAME,
            format!("{shown} answers in plain text"),
            "the token can be read on the way: start that node without --api-insecure, with its --api \
             again, and write https:// with the fingerprint that is in its api.url",
        ),
        Ok(None) => Check::ok(NAME, format!("{shown} answers and hears a leader")),
    }
}

/// Whether what is said to `url` can be read by others.
fn is_open(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host.parse().map_or(host == "localhost", |ip: IpAddr| ip.is_loopback());
    url.scheme() == "http" && !is_here
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::fake::Fake;
    use crate::api::server::Limits;
    use crate::cli::doctor::Level;
    use crate::metrics::Readiness;

    #[test]
    fn plain_text_is_open_where_it_leaves_the_machine() {
        for (url, is_read) in [
            ("http://127.0.0.1:7400", false),
            ("http://[::1]:7400", false),
            ("http://localhost:7400", false),
            ("http://192.0.2.1:7400", true),
            ("http://berlin:7400", true),
            ("https://berlin:7400", false),
        ] {
            assert_eq!(is_open(&url.parse().unwrap()), is_read, "{url}");
        }
    }

    #[tokio::test]
    async fn a_cluster_is_well_when_it_answers_and_hears_a_leader() {
        let fake = Fake::default();
        let server = fake.serve(Limits::default()).await;
        let url: Url = format!("http://{}", server.address()).parse().unwrap();
        assert_eq!(check(&url).await.level, Level::Warn);
        *fake.0.readiness.lock().unwrap() =
            Readiness { has_leader: true, heard: Some(Duration::ZERO) };
        assert_eq!(check(&url).await.level, Level::Ok);
        server.stop().await;
        assert_eq!(check(&url).await.level, Level::Fail);
    }
}
