//! Join tokens as text: `airlift1.CLUSTER.VOTERS.ID.SECRET.ADDRESSES`.
//!
//! Who holds one knows where the cluster is, which one it is, and the keys of some of its voters, so
//! that it can tell the cluster from somebody who only says so before it shows the secret. Any one
//! of those voters will do, and takes the request to whoever leads: that voters come and go while
//! a token lives does not matter.

use airlift_protocol::cluster::{ClusterId, Secret, TokenId};
use airlift_protocol::id::NodeId;
use data_encoding::{BASE64URL_NOPAD, Encoding, HEXLOWER};
use libp2p::identity::ed25519;

/// What every token of this form begins with.
const VERSION: &str = "airlift1";

/// Addresses of one token.
pub(crate) const TOKEN_ADDRESSES_MAX: usize = 8;

/// Voters that one token names.
const TOKEN_VOTERS_MAX: usize = TOKEN_ADDRESSES_MAX;

/// Bytes of a voter's [`key_hash`]: finding another key with the same one takes 2^128 tries.
const KEY_HASH_BYTES: usize = 16;

/// Bytes of one address: a host name, a colon and a port.
const ADDRESS_BYTES_MAX: usize = 253 + 6;

/// Bytes of a whole token.
const TOKEN_BYTES_MAX: usize = 4096;

/// A join token, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinTokenText {
    /// The cluster that it is for.
    pub(crate) cluster: ClusterId,
    /// [`key_hash`] of voters as of when it was made, at least one.
    pub(crate) voters: Vec<[u8; KEY_HASH_BYTES]>,
    /// Names it in the log.
    pub(crate) id: TokenId,
    /// Proves that it is genuine. Prints as nothing.
    pub(crate) secret: Secret,
    /// `host:port` of nodes that can admit, at least one.
    pub(crate) addresses: Vec<String>,
}

impl JoinTokenText {
    /// A new token, its id and secret drawn from the system's randomness. Voters beyond
    /// [`TOKEN_VOTERS_MAX`], addresses beyond [`TOKEN_ADDRESSES_MAX`], and those that no token can
    /// hold, are left out.
    pub(crate) fn draw(cluster: ClusterId, voters: &[NodeId], addresses: Vec<String>) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&random()[..8]);
        let mut addresses = addresses;
        addresses.retain(|address| check_address(address).is_ok());
        addresses.truncate(TOKEN_ADDRESSES_MAX);
        Self {
            cluster,
            voters: voters.iter().take(TOKEN_VOTERS_MAX).map(|voter| key_hash(*voter)).collect(),
            id: TokenId(id),
            secret: Secret(random()),
            addresses,
        }
    }

    /// Whether `node`, whose key its connection proves, is one of the voters that the token names.
    pub(crate) fn names(&self, node: NodeId) -> bool {
        self.voters.contains(&key_hash(node))
    }

    /// The text that [`parse`](Self::parse) reads back. It is a secret.
    pub(crate) fn to_text(&self) -> String {
        let base64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        [
            VERSION.to_owned(),
            HEXLOWER.encode(&self.cluster.0),
            base64(self.voters.as_flattened()),
            base64(&self.id.0),
            base64(&self.secret.0),
            base64(self.addresses.join(",").as_bytes()),
        ]
        .join(".")
    }

    /// Reads a token.
    ///
    /// # Errors
    /// When the text is none: says which part is wrong, and never what it says.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > TOKEN_BYTES_MAX {
            let bytes = text.len();
            return Err(format!(
                "a text of {bytes} bytes is no join token: one has at most {TOKEN_BYTES_MAX}"
            ));
        }
        let fields: Vec<&str> = text.split('.').collect();
        match fields.as_slice() {
            [VERSION, cluster, voters, id, secret, addresses] => Ok(Self {
                cluster: ClusterId(bytes("cluster", &HEXLOWER, cluster)?),
                voters: parse_voters(voters)?,
                id: TokenId(bytes("id", &BASE64URL_NOPAD, id)?),
                secret: Secret(bytes("secret", &BASE64URL_NOPAD, secret)?),
                addresses: parse_addresses(addresses)?,
            }),
            [VERSION, rest @ ..] => Err(format!(
                "a join token has 6 parts between dots, and this one {}: was it cut short?",
                rest.len() + 1
            )),
            [first, ..] if first.starts_with("airlift-api") => Err(
                "this is an API token, which opens the API and lets no node join: make a join token \
                 with `airlift cluster token`"
                    .to_owned(),
            ),
            [first, ..] if first.starts_with("airlift") => Err(format!(
                "the join token is of another version of airlift: this one reads {VERSION}"
            )),
            _ => Err(format!(
                "the text is no join token: one begins with {VERSION} (make one with `airlift \
                 cluster token`)"
            )),
        }
    }
}

/// What a token says of a voter: a hash, since a whole key would only make the text longer.
fn key_hash(voter: NodeId) -> [u8; KEY_HASH_BYTES] {
    let hash = blake3::derive_key("airlift 2026-11 voter of a join token", &voter.0);
    let mut short = [0; KEY_HASH_BYTES];
    short.copy_from_slice(&hash[..KEY_HASH_BYTES]);
    short
}

/// Bytes that nobody can guess, from where the keys of nodes come too.
pub(super) fn random() -> [u8; 32] {
    let drawn = ed25519::SecretKey::generate();
    let mut bytes = [0; 32];
    bytes.copy_from_slice(drawn.as_ref());
    bytes
}

fn bytes<const N: usize>(part: &str, encoding: &Encoding, text: &str) -> Result<[u8; N], String> {
    let decoded = encoding.decode(text.as_bytes()).ok();
    decoded
        .and_then(|bytes| <[u8; N]>::try_from(bytes).ok())
        .ok_or_else(|| format!("the {part} in the join token is damaged: copy the token again"))
}

fn parse_voters(text: &str) -> Result<Vec<[u8; KEY_HASH_BYTES]>, String> {
    let damaged = || "the voters in the join token are damaged: copy the token again".to_owned();
    let decoded = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| damaged())?;
    let (voters, rest) = decoded.as_chunks::<KEY_HASH_BYTES>();
    match voters.len() {
        1..=TOKEN_VOTERS_MAX if rest.is_empty() => Ok(voters.to_vec()),
        _ => Err(damaged()),
    }
}

fn parse_addresses(text: &str) -> Result<Vec<String>, String> {
    let damaged = || "the addresses in the join token are damaged: copy the token again".to_owned();
    let decoded = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| damaged())?;
    let joined = String::from_utf8(decoded).map_err(|_| damaged())?;
    if joined.is_empty() {
        return Err("the join token names no address".to_owned());
    }
    let addresses: Vec<String> = joined.split(',').map(str::to_owned).collect();
    if addresses.len() > TOKEN_ADDRESSES_MAX {
        return Err(format!("the join token names more than {TOKEN_ADDRESSES_MAX} addresses"));
    }
    addresses.iter().try_for_each(|address| check_address(address))?;
    Ok(addresses)
}

/// Refuses what is no `host:port`, or would not come back from a list.
fn check_address(address: &str) -> Result<(), String> {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    let is_address = address.len() <= ADDRESS_BYTES_MAX
        && is_plain
        && address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
    if is_address { Ok(()) } else { Err("an address in the join token is no HOST:PORT".to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> JoinTokenText {
        let addresses = vec!["192.0.2.1:7401".to_owned(), "[2001:db8::1]:7401".to_owned()];
        JoinTokenText::draw(ClusterId([0xc0; 16]), &[NodeId([1; 32])], addresses)
    }

    #[test]
    fn no_two_tokens_have_the_same_secret_or_id() {
        let (first, second) = (token(), token());
        assert_ne!(first.secret, second.secret);
        assert_ne!(first.id, second.id);
        assert_eq!(JoinTokenText::parse(&first.to_text()), Ok(first));
    }

    #[test]
    fn the_secret_is_not_printed() {
        let token = token();
        let printed = format!("{token:?}");
        assert!(!printed.contains(&BASE64URL_NOPAD.encode(&token.secret.0)), "{printed}");
        assert!(!printed.contains(&format!("{:?}", token.secret.0)), "{printed}");
    }

    #[test]
    fn only_addresses_that_come_back_get_in() {
        let mut given: Vec<String> =
            ["no-port", "a,b:1", ":1", "a:0", "a b:1"].map(str::to_owned).to_vec();
        given.extend((1..20).map(|port| format!("host:{port}")));
        let token = JoinTokenText::draw(ClusterId([0; 16]), &[NodeId([1; 32])], given);
        assert_eq!(token.addresses.len(), TOKEN_ADDRESSES_MAX);
        assert_eq!(token.addresses[0], "host:1");
        assert_eq!(JoinTokenText::parse(&token.to_text()), Ok(token));
    }

    #[test]
    fn a_token_names_voters_by_their_keys() {
        let voters: Vec<NodeId> = (0..20).map(|number| NodeId([number; 32])).collect();
        let token = JoinTokenText::draw(ClusterId([0; 16]), &voters, vec!["a:1".to_owned()]);
        assert_eq!(token.voters.len(), TOKEN_VOTERS_MAX);
        let read = JoinTokenText::parse(&token.to_text()).unwrap();
        let named = voters.iter().filter(|voter| read.names(**voter)).count();
        assert_eq!(named, TOKEN_VOTERS_MAX);
        assert!(read.names(voters[0]) && !read.names(NodeId([0xff; 32])));
    }

    #[test]
    fn the_longest_token_can_be_read_back() {
        let host = "h".repeat(ADDRESS_BYTES_MAX - ":65535".len());
        let addresses = vec![format!("{host}:65535"); TOKEN_ADDRESSES_MAX];
        let voters = [NodeId([1; 32]); TOKEN_VOTERS_MAX];
        let token = JoinTokenText::draw(ClusterId([0; 16]), &voters, addresses);
        assert_eq!(token.addresses.len(), TOKEN_ADDRESSES_MAX);
        assert_eq!(JoinTokenText::parse(&token.to_text()), Ok(token));
    }

    #[test]
    fn bad_texts_are_refused_with_the_part_that_is_wrong() {
        let good = token().to_text();
        let with = |index: usize, part: &str| {
            let mut parts: Vec<&str> = good.split('.').collect();
            parts[index] = part;
            parts.join(".")
        };
        let list = |text: &str| with(5, &BASE64URL_NOPAD.encode(text.as_bytes()));
        let many = ["a:1"; TOKEN_ADDRESSES_MAX + 1].join(",");
        for (text, wanted) in [
            (String::new(), "no join token"),
            ("secret".to_owned(), "no join token"),
            ("x".repeat(TOKEN_BYTES_MAX + 1), "at most"),
            (with(0, "airlift2"), "another version"),
            ("airlift-api1.0707070707070707.secret".to_owned(), "an API token"),
            (good.rsplit_once('.').unwrap().0.to_owned(), "6 parts"),
            (format!("{good}.x"), "6 parts"),
            (with(1, "c0"), "cluster"),
            (with(1, &"C0".repeat(16)), "cluster"),
            (with(2, "AA"), "voters"),
            (with(2, ""), "voters"),
            (with(2, &BASE64URL_NOPAD.encode(&[0; 17])), "voters"),
            (with(2, &BASE64URL_NOPAD.encode(&[0; 16 * 9])), "voters"),
            (with(3, "AAAAAAAAAAA="), "id"),
            (with(4, ""), "secret"),
            (with(4, &"!".repeat(43)), "secret"),
            (with(5, "?"), "addresses"),
            (with(5, &BASE64URL_NOPAD.encode(b"\xff:1")), "addresses"),
            (list(""), "no address"),
            (list("a"), "HOST:PORT"),
            (list("a:1,,b:2"), "HOST:PORT"),
            (list("a:65536"), "HOST:PORT"),
            (list(&format!("{}:1", "a".repeat(ADDRESS_BYTES_MAX))), "HOST:PORT"),
            (list(&many), "more than"),
        ] {
            let error = JoinTokenText::parse(&text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert!(JoinTokenText::parse(&format!(" {good}\n")).is_ok());
    }

    proptest! {
        #[test]
        fn tokens_come_back(
            cluster: [u8; 16],
            voters in prop::collection::vec(any::<[u8; KEY_HASH_BYTES]>(), 1..=TOKEN_VOTERS_MAX),
            id: [u8; 8],
            secret: [u8; 32],
            addresses in prop::collection::vec("[a-z0-9.-]{1,40}:[1-9][0-9]{0,3}", 1..=TOKEN_ADDRESSES_MAX),
        ) {
            let token = JoinTokenText {
                cluster: ClusterId(cluster),
                voters,
                id: TokenId(id),
                secret: Secret(secret),
                addresses,
            };
            prop_assert_eq!(JoinTokenText::parse(&token.to_text()), Ok(token));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "(airlift1)?[.A-Za-z0-9_=, -]{0,200}") {
            let _ = JoinTokenText::parse(&text);
        }
    }
}
