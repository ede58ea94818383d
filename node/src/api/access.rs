//! API tokens and the audit log, as clients ask for them and see them.

use airlift_protocol::access::{ApiRole, ApiToken, ApiTokenId, ApiTokenName};
use airlift_protocol::audit::{AuditEntry, Chain};
use airlift_protocol::cluster::Secret;
use airlift_protocol::id::LogIndex;
use airlift_protocol::location::Location;
use airlift_protocol::time::Timestamp;
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::openapi::schema;
use super::text::ByteText;
use super::view::utc;

/// Seconds that a token may live, if it is to end at all: ten years.
pub const API_TOKEN_LIFE_SECONDS_MAX: u64 = 10 * 366 * 86_400;
/// Entries of the audit log in one answer.
pub const AUDIT_PAGE_MAX: usize = 1000;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApiRoleText {
    /// Look at everything, change nothing.
    Viewer,
    /// Submit and control jobs between given locations, and see those.
    Submitter,
    /// Submit and control all jobs.
    Operator,
    /// Everything.
    Admin,
}

impl From<ApiRoleText> for ApiRole {
    fn from(text: ApiRoleText) -> Self {
        match text {
            ApiRoleText::Viewer => Self::Viewer,
            ApiRoleText::Submitter => Self::Submitter,
            ApiRoleText::Operator => Self::Operator,
            ApiRoleText::Admin => Self::Admin,
        }
    }
}

impl From<ApiRole> for ApiRoleText {
    fn from(role: ApiRole) -> Self {
        match role {
            ApiRole::Viewer => Self::Viewer,
            ApiRole::Submitter => Self::Submitter,
            ApiRole::Operator => Self::Operator,
            ApiRole::Admin => Self::Admin,
        }
    }
}

/// A request for an API token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiTokenRequest {
    /// What people call it.
    #[schemars(schema_with = "schema::api_token_name")]
    pub name: String,
    /// What it allows.
    pub role: ApiRoleText,
    /// Of a submitter: both ends of a job lie within one of these.
    #[serde(default)]
    pub locations: Vec<ByteText>,
    /// How long it lasts; until it is revoked when this is not given.
    #[serde(default)]
    #[schemars(schema_with = "schema::api_token_life")]
    pub ttl_seconds: Option<u64>,
}

impl ApiTokenRequest {
    /// The token as the log has it, made at `at`.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn token(&self, secret_hash: [u8; 32], at: Timestamp) -> Result<ApiToken, ApiError> {
        let invalid = |error: &dyn std::fmt::Display| ApiError::invalid(error.to_string());
        let parse = |text: &ByteText| Location::parse(&text.0).map_err(|error| invalid(&error));
        let token = ApiToken {
            name: ApiTokenName::parse(&self.name).map_err(|error| invalid(&error))?,
            secret_hash,
            role: self.role.into(),
            locations: self.locations.iter().map(parse).collect::<Result<_, _>>()?,
            created_at: at,
            expires_at: match self.ttl_seconds {
                None => None,
                Some(0) => {
                    return Err(ApiError::invalid("a token that lives for 0 seconds is of no use"));
                }
                Some(seconds) if seconds > API_TOKEN_LIFE_SECONDS_MAX => {
                    let text = format!(
                        "a token that ends lives for at most {API_TOKEN_LIFE_SECONDS_MAX} seconds"
                    );
                    return Err(ApiError::invalid(text));
                }
                Some(seconds) => Some(at.plus(seconds.saturating_mul(1000))),
            },
        };
        token.check().map_err(|error| invalid(&error))?;
        Ok(token)
    }
}

/// A root token to come, of which the cluster never sees more than this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootTokenRequest {
    /// BLAKE3 of its 32 bytes by the key derivation for `airlift 2026-11 token secret`, as 64 lower-case
    /// hexadecimal digits.
    #[schemars(schema_with = "schema::root_token_hash")]
    pub hash: String,
}

impl RootTokenRequest {
    /// Asks for the token of this secret.
    pub fn of(secret: &Secret) -> Self {
        Self { hash: HEXLOWER.encode(&secret.hash()) }
    }

    /// The hash.
    ///
    /// # Errors
    /// When it is none.
    pub fn hash(&self) -> Result<[u8; 32], ApiError> {
        let bytes = HEXLOWER.decode(self.hash.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
            ApiError::invalid("the hash of a root token has 64 lower-case hexadecimal digits")
        })
    }
}

/// An API token, without its secret: nobody has that but who it was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiTokenView {
    /// Names it in the log and in the token itself.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub role: ApiRoleText,
    /// Of a submitter: both ends of a job lie within one of these.
    pub locations: Vec<ByteText>,
    /// When it was made, in UTC.
    pub created_at: String,
    /// When it ends, in UTC; `null` when it lasts until it is revoked.
    pub expires_at: Option<String>,
    /// Whether it has ended.
    pub has_expired: bool,
}

impl ApiTokenView {
    /// The token as it is at `at`.
    pub fn of(id: ApiTokenId, token: &ApiToken, at: Timestamp) -> Self {
        Self {
            id: id.to_string(),
            name: token.name.to_string(),
            role: token.role.into(),
            locations: token.locations.iter().map(ByteText::from).collect(),
            created_at: utc(token.created_at),
            expires_at: token.expires_at.map(utc),
            has_expired: token.has_expired(at),
        }
    }
}

/// All API tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiTokenList {
    /// The tokens, by name.
    pub tokens: Vec<ApiTokenView>,
}

/// A new API token. It is shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedApiToken {
    /// The token itself: a secret.
    pub token: String,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub view: ApiTokenView,
}

/// The secret stays out of logs.
impl std::fmt::Debug for CreatedApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedApiToken").field("view", &self.view).finish_non_exhaustive()
    }
}

/// Some entries of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditPage {
    /// The entries, oldest first.
    pub entries: Vec<AuditLine>,
    /// Number of the first entry that the cluster still keeps; 0 when there is none.
    pub first: u64,
    /// Number of the last one.
    pub last: u64,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// An entry of the audit log: an object in an answer, a line in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditLine {
    /// Counted from 1, without gaps.
    pub number: u64,
    /// The entry of the cluster's log that made the change.
    pub index: u64,
    /// When it was asked for, in milliseconds since 1970.
    pub at_ms: u64,
    /// The same in UTC.
    pub at: String,
    /// Who asked for it.
    pub by: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More about it.
    pub detail: String,
    /// Hash of the entry before, in hexadecimal.
    pub previous: String,
    /// Hash over that and the fields.
    pub hash: String,
}

impl AuditLine {
    /// The entry behind one that has the hash `previous`.
    pub fn of(entry: &AuditEntry, previous: [u8; 32]) -> Self {
        Self {
            number: entry.number,
            index: entry.index.0,
            at_ms: entry.at.0,
            at: utc(entry.at),
            by: entry.by.clone(),
            action: entry.action.clone(),
            subject: entry.subject.clone(),
            detail: entry.detail.clone(),
            previous: HEXLOWER.encode(&previous),
            hash: HEXLOWER.encode(&entry.hash),
        }
    }

    /// Where the chain stands before this entry, by what it says itself; `None` when it says nothing
    /// that could be.
    pub fn before(&self) -> Option<Chain> {
        let number = self.number.checked_sub(1)?;
        let before = Chain { number, hash: hash(&self.previous)? };
        (number > 0 || before == Chain::START).then_some(before)
    }

    /// Goes on to this entry.
    ///
    /// # Errors
    /// When it does not follow: why.
    pub fn follow(&self, chain: &mut Chain) -> Result<(), String> {
        let number = self.number;
        if hash(&self.previous) != Some(chain.hash) && number == chain.number.saturating_add(1) {
            return Err(format!("entry {number} names another hash of the entry before it"));
        }
        if self.at != utc(Timestamp(self.at_ms)) {
            return Err(format!("entry {number} has two times, which differ"));
        }
        let entry = AuditEntry {
            number,
            index: LogIndex(self.index),
            at: Timestamp(self.at_ms),
            by: self.by.clone(),
            action: self.action.clone(),
            subject: self.subject.clone(),
            detail: self.detail.clone(),
            hash: hash(&self.hash).ok_or_else(|| format!("entry {number} has no hash"))?,
        };
        chain.follow(&entry).map_err(|broken| broken.to_string())
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The first entries of an audit log, made up for tests.
#[cfg(test)]
pub(crate) fn lines(count: u64) -> Vec<AuditLine> {
    let mut previous = airlift_protocol::audit::GENESIS;
    let line = |number| {
        let mut entry = AuditEntry {
            number,
            index: LogIndex(number + 10),
            at: Timestamp(1_700_000_000_000),
            by: "root".to_owned(),
            action: "job.pause".to_owned(),
            subject: "ab".to_owned(),
            detail: String::new(),
            hash: previous,
        };
        entry.hash = entry.link(previous);
        let line = AuditLine::of(&entry, previous);
        previous = entry.hash;
        line
    };
    (1..=count).map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(name: &str, role: ApiRoleText, ttl_seconds: Option<u64>) -> ApiTokenRequest {
        ApiTokenRequest { name: name.to_owned(), role, locations: Vec::new(), ttl_seconds }
    }

    #[test]
    fn requests_become_tokens_or_say_what_is_wrong() {
        let at = Timestamp(1000);
        let token = request("ci", ApiRoleText::Operator, Some(60)).token([1; 32], at).unwrap();
        assert_eq!((token.role, token.expires_at), (ApiRole::Operator, Some(Timestamp(61_000))));
        let forever = request("ci", ApiRoleText::Admin, None).token([1; 32], at).unwrap();
        assert_eq!(forever.expires_at, None);
        let long = API_TOKEN_LIFE_SECONDS_MAX + 1;
        for (request, wanted) in [
            (request("", ApiRoleText::Viewer, None), "no name for a token"),
            (request("ci", ApiRoleText::Viewer, Some(0)), "0 seconds"),
            (request("ci", ApiRoleText::Viewer, Some(long)), "at most"),
            (request("ci", ApiRoleText::Submitter, None), "needs the locations"),
        ] {
            let error = request.token([1; 32], at).unwrap_err();
            assert!(error.detail.contains(wanted), "{request:?}: {error}");
        }
    }

    #[test]
    fn a_new_token_is_shown_and_not_printed() {
        let token = request("ci", ApiRoleText::Viewer, None).token([1; 32], Timestamp(0)).unwrap();
        let view = ApiTokenView::of(ApiTokenId([7; 8]), &token, Timestamp(0));
        let created = CreatedApiToken { token: "hidden".to_owned(), view };
        assert!(!format!("{created:?}").contains("hidden"));
        let shown = serde_json::to_value(&created).unwrap();
        assert_eq!(
            shown,
            json!({
                "token": "hidden", "id": "0707070707070707", "name": "ci", "role": "viewer",
                "locations": [], "created_at": "1970-01-01T00:00:00Z", "expires_at": null,
                "has_expired": false,
            })
        );
        assert_eq!(serde_json::from_value::<CreatedApiToken>(shown).unwrap(), created);
    }

    #[test]
    fn lines_are_followed_from_wherever_they_begin() {
        for skipped in 0..3 {
            let lines = &lines(3)[skipped..];
            let mut chain = lines[0].before().unwrap();
            for line in lines {
                line.follow(&mut chain).unwrap();
            }
            assert_eq!(chain.number, 3);
        }
    }

    #[test]
    fn nothing_in_a_line_can_be_altered() {
        type Change = fn(&mut AuditLine);
        let changes: [(Change, &str); 6] = [
            (|line| line.by.push('x'), "does not have the hash"),
            (|line| line.at_ms += 1000, "two times"),
            (|line| line.at = "1970-01-01T00:00:00Z".to_owned(), "two times"),
            (|line| line.previous = "0".repeat(64), "another hash of the entry before"),
            (|line| line.hash.clear(), "no hash"),
            (|line| line.number = 7, "entry 7 stands where entry 2 should"),
        ];
        for (change, wanted) in changes {
            let mut lines = lines(3);
            change(&mut lines[1]);
            let mut chain = Chain::START;
            let followed = lines.iter().try_for_each(|line| line.follow(&mut chain));
            let error = followed.unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let mut first = lines(1).remove(0);
        first.previous = "1".repeat(64);
        assert_eq!(first.before(), None, "nothing is before the first entry");
    }
}
