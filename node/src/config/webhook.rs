//! Webhooks: `[webhooks.NAME]` tables, from text to settings.
//!
//! Their secrets are named in them and never written.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Url;

use super::ConfigError;
use super::setting::advice;
use crate::webhook::{Kind, SecretPlace, Webhook, check_url};

const FIELDS: [&str; 4] = ["url", "secret", "events", "allow_http"];

/// Reads the tables below `[webhooks]` of the file at `path`.
pub(super) fn read(value: toml::Value, path: &Path) -> Result<Vec<Webhook>, ConfigError> {
    let toml::Value::Table(tables) = value else {
        let path = path.display();
        return Err(ConfigError(format!(
            "'webhooks' in {path} is no table: write [webhooks.NAME]"
        )));
    };
    let named = |(name, table): (String, toml::Value)| {
        let at = format!("[webhooks.{}] in {}", name.escape_debug(), path.display());
        webhook(name, table, path).map_err(|why| ConfigError(format!("{at}: {why}")))
    };
    tables.into_iter().map(named).collect()
}

fn webhook(name: String, table: toml::Value, path: &Path) -> Result<Webhook, String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.is_empty() || !name.chars().all(is_word) {
        return Err("a name has letters, digits, - and _".to_owned());
    }
    let toml::Value::Table(table) = table else {
        return Err("it is no table: write [webhooks.NAME], then url = \"https://…\"".to_owned());
    };
    if let Some(unknown) = table.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        let (unknown, advice) = (unknown.escape_debug(), advice(unknown, FIELDS.into_iter()));
        return Err(format!("unknown key '{unknown}': {advice}"));
    }
    let text = |field: &str| match table.get(field) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(format!("'{field}' is a {}: write a text", other.type_str())),
    };
    let url = text("url")?.ok_or("it has no url")?;
    let url = Url::parse(url).map_err(|error| format!("url: {error}"))?;
    let allow_http = match text("allow_http")? {
        None | Some("no") => false,
        Some("yes") => true,
        Some(_) => return Err("allow_http is \"yes\" or \"no\"".to_owned()),
    };
    check_url(&url, allow_http).map_err(|why| format!("url: {why}"))?;
    let secret = text("secret")?.ok_or(NO_SECRET)?;
    let secret = place(secret, path)?;
    let kinds = text("events")?.map_or_else(|| Ok(Kind::ALL.into()), kinds)?;
    Ok(Webhook { name, url, secret, kinds })
}

const NO_SECRET: &str = "it has no secret to sign messages with: write where it is, as secret = \"file:/path\" \
                         or \"env:NAME\"";

/// An error never repeats the text: it may be the secret itself.
fn place(text: &str, path: &Path) -> Result<SecretPlace, String> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(SecretPlace::Variable(name.to_owned())),
        Some(("file", file)) if !file.is_empty() => {
            let directory = path.parent().unwrap_or_else(|| Path::new(""));
            Ok(SecretPlace::File(directory.join(file)))
        }
        _ => Err(
            "a secret is not written into the file: write where it is, as \"file:/path\" or \"env:NAME\""
                .to_owned(),
        ),
    }
}

fn kinds(text: &str) -> Result<BTreeSet<Kind>, String> {
    let known = |word: &str| {
        let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.ok_or_else(|| {
            let words = Kind::ALL.map(Kind::as_str);
            format!("events: '{}': {}", word.escape_debug(), advice(word, words.into_iter()))
        })
    };
    text.split(',').map(|word| known(word.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Webhook>, String> {
        let table: toml::Table = toml::from_str(text).unwrap();
        let value = table.get("webhooks").unwrap().clone();
        read(value, Path::new("/x/airlift.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn webhooks_are_read_with_their_secrets_named() {
        let all = parse(
            "[webhooks.chat]\nurl = 'https://a/x'\nsecret = 'file:chat.key'\nevents = 'paused, failed'\n\
             [webhooks.local]\nurl = 'http://127.0.0.1:9/'\nsecret = 'env:LOCAL_KEY'\n",
        );
        let all = all.unwrap();
        assert_eq!(all[0].secret, SecretPlace::File("/x/chat.key".into()));
        assert_eq!(all[0].kinds, [Kind::Paused, Kind::Failed].into());
        assert_eq!(all[1].secret, SecretPlace::Variable("LOCAL_KEY".to_owned()));
        assert_eq!(all[1].kinds.len(), Kind::ALL.len());
    }

    #[test]
    fn what_is_no_webhook_is_said_where_it_is_without_the_secret() {
        let table = |rest: &str| format!("[webhooks.a]\n{rest}");
        let good = "url = 'https://a/'\nsecret = 'env:A'\n";
        for (text, expected) in [
            ("webhooks = 1".to_owned(), "'webhooks' in /x/airlift.toml is no table"),
            ("[webhooks]\na = 1".to_owned(), "[webhooks.a] in /x/airlift.toml: it is no table"),
            ("[webhooks.'a b']\nurl = 'x'".to_owned(), "a name has letters"),
            (table("secret = 'env:A'"), "it has no url"),
            (table("url = 'https://a/'"), "it has no secret"),
            (
                table("url = 'https://a/'\nsecret = 'hunter2'"),
                "a secret is not written into the file",
            ),
            (table("url = 'http://a/'\nsecret = 'env:A'"), "allow_http = \"yes\""),
            (
                table("url = 'http://a/'\nsecret = 'env:A'\nallow_http = 'maybe'"),
                "\"yes\" or \"no\"",
            ),
            (table(&format!("{good}events = 'done'")), "events: 'done'"),
            (table(&format!("{good}event = 'failed'")), "unknown key 'event'"),
            (table(&format!("{good}events = 5")), "'events' is a integer"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{text}: {error}");
        }
        let plain = "url = 'http://a/'\nsecret = 'env:A'\nallow_http = 'yes'";
        assert!(parse(&table(plain)).is_ok());
    }
}
