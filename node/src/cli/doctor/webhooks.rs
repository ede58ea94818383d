//! The webhooks that a node on this machine would tell what happens to jobs: whether it can sign what it says.

use super::Check;
use crate::runtime::blocking::blocking;
use crate::webhook::Webhook;

const NAME: &str = "webhook";

/// One check for each webhook. Nothing is sent: `airlift webhook test` does that.
pub(super) async fn checks(webhooks: &[Webhook]) -> Vec<Check> {
    let mut checks = Vec::new();
    for webhook in webhooks {
        let place = webhook.secret.clone();
        let read = blocking(move || place.read()).await;
        let (name, origin) = (&webhook.name, webhook.origin());
        checks.push(match read {
            Ok(_) => Check::ok(NAME, format!("{name} ({origin}) has a secret to sign with")),
            Err(why) => Check::fail(
                NAME,
                format!("{name} ({origin}): {why}"),
                format!("a node does not start like this: see 'secret' in [webhooks.{name}]"),
            ),
        });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;
    use crate::webhook::{Kind, SecretPlace};

    #[tokio::test]
    async fn a_secret_that_cannot_be_read_is_told_without_the_rest_of_the_url() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "0123456789abcdef").unwrap();
        let webhook = |secret: SecretPlace| Webhook {
            name: "chat".to_owned(),
            url: "https://a.example/T0ken".parse().unwrap(),
            secret,
            kinds: Kind::ALL.into(),
        };
        let missing = SecretPlace::Variable("AIRLIFT_TEST_NO_SUCH_SECRET".to_owned());
        let all = [webhook(SecretPlace::File(path)), webhook(missing)];
        let checks = checks(&all).await;
        let levels: Vec<Level> = checks.iter().map(|check| check.level).collect();
        assert_eq!(levels, [Level::Ok, Level::Fail]);
        assert!(checks[1].found.contains("(https://a.example): the variable"), "{checks:?}");
        assert!(!format!("{checks:?}").contains("T0ken"), "{checks:?}");
    }
}
