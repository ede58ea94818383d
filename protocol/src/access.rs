//! Who may ask a cluster for what: API tokens, as the log has them.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounded;
use crate::cluster::Secret;
use crate::codec;
use crate::limits::{
    API_TOKEN_LOCATIONS_BYTES_MAX, API_TOKEN_LOCATIONS_MAX, API_TOKEN_NAME_BYTES_MAX,
};
use crate::location::Location;
use crate::time::Timestamp;

/// What an API token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ApiRole {
    /// Look at everything, change nothing.
    Viewer,
    /// Submit and control jobs between given locations, and see those.
    Submitter,
    /// Submit and control all jobs.
    Operator,
    /// Everything: members, tokens and limits too.
    Admin,
}

impl ApiRole {
    /// All of them, the weakest first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Submitter, Self::Operator, Self::Admin];

    /// The word that command line and JSON use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Names an API token. It is the first part of what its holder shows, and no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ApiTokenId(pub [u8; 8]);

impl fmt::Display for ApiTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ApiTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "API token {self}")
    }
}

/// What people call an API token: unique among those of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiTokenName(String);

/// Why a text is no name for an API token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "'{}' is no name for a token: use 1 to {API_TOKEN_NAME_BYTES_MAX} letters, digits, '-', '_' or '.', beginning with a letter or a digit",
    .0.escape_debug()
)]
pub struct BadApiTokenName(pub String);

impl ApiTokenName {
    /// Reads a name.
    ///
    /// # Errors
    /// When the text has other characters than letters, digits, `-`, `_` and `.`, begins with a sign, or
    /// is too short or too long.
    pub fn parse(text: &str) -> Result<Self, BadApiTokenName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = (1..=API_TOKEN_NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(is_allowed)
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if is_name { Ok(Self(text.to_owned())) } else { Err(BadApiTokenName(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ApiTokenName {
    type Error = BadApiTokenName;

    fn try_from(text: String) -> Result<Self, BadApiTokenName> {
        Self::parse(&text)
    }
}

impl From<ApiTokenName> for String {
    fn from(name: ApiTokenName) -> Self {
        name.0
    }
}

impl fmt::Display for ApiTokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token that opens the API. The log never has its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// What people call it.
    pub name: ApiTokenName,
    /// Hash of the secret.
    pub secret_hash: [u8; 32],
    /// What it allows.
    pub role: ApiRole,
    /// Of a submitter: both ends of a job lie within one of these. Others have none.
    #[serde(deserialize_with = "bounded::list::<_, _, API_TOKEN_LOCATIONS_MAX>")]
    pub locations: Vec<Location>,
    /// Wall-clock time at which it was made.
    pub created_at: Timestamp,
    /// Wall-clock time from which it opens nothing; `None` when it lasts until it is revoked.
    pub expires_at: Option<Timestamp>,
}

/// Why a token cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadApiToken {
    /// A submitter without locations could do nothing.
    #[error("a submitter needs the locations that its jobs may touch")]
    NoLocations,
    /// Others are not limited so.
    #[error("only a submitter is limited to locations")]
    NeedlessLocations,
    /// More than are kept.
    #[error(
        "a token has at most {API_TOKEN_LOCATIONS_MAX} locations of {API_TOKEN_LOCATIONS_BYTES_MAX} bytes together"
    )]
    TooManyLocations,
    /// A path of whichever machine is no place in a cluster.
    #[error("a location of a token names a node or a bucket: NODE:/path, or s3://BUCKET/PREFIX")]
    NoPlace,
}

impl ApiToken {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// When it is refused.
    pub fn check(&self) -> Result<(), BadApiToken> {
        let is_place = |location: &Location| !matches!(location, Location::Path(_));
        match (self.role, self.locations.len()) {
            (ApiRole::Submitter, 0) => Err(BadApiToken::NoLocations),
            (ApiRole::Submitter, count)
                if count > API_TOKEN_LOCATIONS_MAX
                    || codec::encode(&self.locations).len() > API_TOKEN_LOCATIONS_BYTES_MAX =>
            {
                Err(BadApiToken::TooManyLocations)
            }
            (ApiRole::Submitter, _) if !self.locations.iter().all(is_place) => {
                Err(BadApiToken::NoPlace)
            }
            (ApiRole::Submitter, _) | (_, 0) => Ok(()),
            _ => Err(BadApiToken::NeedlessLocations),
        }
    }

    /// Whether it has ended at this wall-clock time.
    pub fn has_expired(&self, at: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= at)
    }

    /// Whether `secret` is its own, in the same time whatever it is.
    pub fn has_secret(&self, secret: &Secret) -> bool {
        secret.has_hash(self.secret_hash)
    }

    /// Whether a job may read or write at `location`, as far as that is limited.
    pub fn reaches(&self, location: &Location) -> bool {
        self.role != ApiRole::Submitter
            || self.locations.iter().any(|limit| lies_within(location, limit))
    }
}

/// Whether `location` lies at or below `limit`, by whole parts of its path: `s3://b/team` has
/// `s3://b/team/x` below it, and not `s3://b/team2`. What has `.` or `..` among its parts lies below
/// nothing, since some stores would lead elsewhere; nor does what only means the same place.
pub fn lies_within(location: &Location, limit: &Location) -> bool {
    match (location, limit) {
        (
            Location::Bucket { scheme, bucket, prefix },
            Location::Bucket { scheme: limit_scheme, bucket: limit_bucket, prefix: limit_prefix },
        ) => {
            (scheme, bucket) == (limit_scheme, limit_bucket)
                && is_below(prefix.as_bytes(), limit_prefix.as_bytes())
        }
        (Location::Node { node, path }, Location::Node { node: limit_node, path: limit_path }) => {
            node == limit_node && is_below(path, limit_path)
        }
        _ => false,
    }
}

fn is_below(path: &[u8], limit: &[u8]) -> bool {
    let limit = limit.strip_suffix(b"/").unwrap_or(limit);
    let has_dots = path.split(|byte| *byte == b'/').any(|part| part == b"." || part == b"..");
    let rest = path.strip_prefix(limit);
    !has_dots
        && rest.is_some_and(|rest| limit.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for name in ["a", "7", "ci-berlin.2_x", &"n".repeat(API_TOKEN_NAME_BYTES_MAX)] {
            assert_eq!(ApiTokenName::parse(name).unwrap().as_str(), name);
        }
        let long = "n".repeat(API_TOKEN_NAME_BYTES_MAX + 1);
        for text in ["", "-a", ".a", "a b", "a/b", "ä", "a\n", &long] {
            assert_eq!(ApiTokenName::parse(text), Err(BadApiTokenName(text.to_owned())));
        }
    }

    fn token(role: ApiRole, locations: &[&str]) -> ApiToken {
        let parse = |text: &&str| Location::parse(text.as_bytes()).unwrap();
        ApiToken {
            name: ApiTokenName::parse("ci").unwrap(),
            secret_hash: Secret([7; 32]).hash(),
            role,
            locations: locations.iter().map(parse).collect(),
            created_at: Timestamp(5),
            expires_at: Some(Timestamp(300)),
        }
    }

    #[test]
    fn a_token_has_the_bytes_it_always_had() {
        let token = token(ApiRole::Submitter, &["s3://b/x"]);
        let bytes = codec::encode(&token);
        assert_eq!(bytes[..3], [2, b'c', b'i']);
        assert_eq!(bytes[3..35], Secret([7; 32]).hash());
        let golden = [1, 1, 2, 2, b's', b'3', 1, b'b', 1, b'x', 5, 1, 251, 44, 1];
        assert_eq!(bytes[35..], golden);
        assert_eq!(codec::decode::<ApiToken>(&bytes, 256).unwrap(), token);
    }

    #[test]
    fn only_submitters_have_locations_and_they_need_some() {
        let many = vec!["s3://b/x"; API_TOKEN_LOCATIONS_MAX + 1];
        let long = format!("s3://b/{}", "x".repeat(4000));
        for (role, locations, refused) in [
            (ApiRole::Submitter, &["s3://b", "berlin:/data"][..], None),
            (ApiRole::Submitter, &[], Some(BadApiToken::NoLocations)),
            (ApiRole::Submitter, &many, Some(BadApiToken::TooManyLocations)),
            (ApiRole::Submitter, &[&long, &long, &long], Some(BadApiToken::TooManyLocations)),
            (ApiRole::Submitter, &["./data"], Some(BadApiToken::NoPlace)),
            (ApiRole::Operator, &["s3://b"], Some(BadApiToken::NeedlessLocations)),
            (ApiRole::Viewer, &[], None),
        ] {
            assert_eq!(token(role, locations).check().err(), refused, "{role:?}");
        }
    }

    #[test]
    fn a_token_ends_reaches_and_knows_its_secret() {
        let submitter = token(ApiRole::Submitter, &["s3://b/x", "berlin:/data"]);
        let at = |text: &str| Location::parse(text.as_bytes()).unwrap();
        assert!(submitter.reaches(&at("berlin:/data/a")) && submitter.reaches(&at("s3://b/x/")));
        assert!(!submitter.reaches(&at("s3://b")));
        assert!(token(ApiRole::Operator, &[]).reaches(&at("s3://b")));
        assert!(!submitter.has_expired(Timestamp(299)) && submitter.has_expired(Timestamp(300)));
        assert!(submitter.has_secret(&Secret([7; 32])) && !submitter.has_secret(&Secret([8; 32])));
    }

    #[test]
    fn what_lies_within_a_limit_is_judged_by_whole_parts() {
        for (location, limit, is_within) in [
            ("s3://b/team", "s3://b/team", true),
            ("s3://b/team/", "s3://b/team", true),
            ("s3://b/team", "s3://b/team/", true),
            ("s3://b/team/x", "s3://b/team/", true),
            ("s3://b/team//x", "s3://b/team", true),
            ("s3://b/team2", "s3://b/team", false),
            ("s3://b/tea", "s3://b/team", false),
            ("s3://b", "s3://b/team", false),
            ("s3://b/anything", "s3://b", true),
            ("s3://b2/team", "s3://b", false),
            ("gs://b/team", "s3://b/team", false),
            ("s3://b/team/../other", "s3://b/team", false),
            ("s3://b/team/./x", "s3://b/team", false),
            ("s3://b/team/..x", "s3://b/team", true),
            ("berlin:/data", "berlin:/data", true),
            ("berlin:/data/x", "berlin:/data", true),
            ("berlin:/data/x", "berlin:/data/", true),
            ("berlin:/data", "berlin:/", true),
            ("berlin:/database", "berlin:/data", false),
            ("berlin:/data/../etc", "berlin:/data", false),
            ("berlin:/..", "berlin:/", false),
            ("paris:/data", "berlin:/data", false),
            ("/data", "/data", false),
        ] {
            let parse = |text: &str| Location::parse(text.as_bytes()).unwrap();
            assert_eq!(
                lies_within(&parse(location), &parse(limit)),
                is_within,
                "{location} {limit}"
            );
        }
    }
}
