//! What clients show: API tokens as text, `airlift-api1.ID.SECRET`, and the root token, 64
//! hexadecimal digits.

use airlift_protocol::access::ApiTokenId;
use airlift_protocol::cluster::Secret;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};

use super::token::random;

/// What every API token of this form begins with: programs that look for secrets in places where they
/// do not belong can find it by that.
const VERSION: &str = "airlift-api1";

/// What a client has shown, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The root token.
    Root(Secret),
    /// An API token.
    Api(ApiTokenId, Secret),
}

impl Shown {
    /// A new API token, drawn from the system's randomness.
    pub(super) fn draw() -> (ApiTokenId, Secret) {
        let mut id = [0; 8];
        id.copy_from_slice(&random()[..8]);
        (ApiTokenId(id), Secret(random()))
    }

    /// Reads what a client shows; `None` when it can be no token.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some(rest) = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('.')) else {
            let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
            return Some(Self::Root(Secret(bytes.try_into().ok()?)));
        };
        let (id, secret) = rest.split_once('.')?;
        let id = HEXLOWER.decode(id.as_bytes()).ok()?.try_into().ok()?;
        let secret = BASE64URL_NOPAD.decode(secret.as_bytes()).ok()?.try_into().ok()?;
        Some(Self::Api(ApiTokenId(id), Secret(secret)))
    }
}

/// A new root token, and its text.
pub(crate) fn draw_root() -> (Secret, String) {
    let secret = Secret(random());
    let text = HEXLOWER.encode(&secret.0);
    (secret, text)
}

/// The secret of a root token; `None` when the text is none.
pub(crate) fn parse_root(text: &str) -> Option<Secret> {
    match Shown::parse(text) {
        Some(Shown::Root(secret)) => Some(secret),
        Some(Shown::Api(..)) | None => None,
    }
}

/// The text of an API token. It is a secret.
pub(super) fn text(id: ApiTokenId, secret: &Secret) -> String {
    format!("{VERSION}.{id}.{}", BASE64URL_NOPAD.encode(&secret.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_print_as_nothing() {
        let (id, secret) = Shown::draw();
        let shown = text(id, &secret);
        assert_eq!(shown.len(), "airlift-api1..".len() + 16 + 43);
        let read = Shown::parse(&shown);
        assert_eq!(read, Some(Shown::Api(id, secret.clone())));
        assert!(!format!("{read:?}").contains(&BASE64URL_NOPAD.encode(&secret.0)));
        assert_ne!(Shown::draw().1, secret);
        let root = "Ab".repeat(32);
        assert_eq!(Shown::parse(&root), Some(Shown::Root(Secret([0xab; 32]))));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = text(ApiTokenId([1; 8]), &Secret([2; 32]));
        for wrong in [
            String::new(),
            "everything".to_owned(),
            "ab".repeat(31),
            good.replace("api1", "api2"),
            good[..good.len() - 1].to_owned(),
            format!("{good}."),
            format!("{good}A"),
            good.replacen("01", "0A", 1),
            good.replacen('.', "", 1),
            "airlift-api1".to_owned(),
            "airlift-api1.".to_owned(),
        ] {
            assert_eq!(Shown::parse(&wrong), None, "{wrong}");
        }
    }
}
