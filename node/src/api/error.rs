//! Errors of the API: a code, a status and a line for people, as RFC 9457 has them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Media type of an error's body.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// What went wrong. Clients decide by this and by nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiCode {
    /// The request is wrong: asking again gives the same answer.
    Invalid,
    /// No token, or none that the cluster knows.
    Unauthorized,
    /// The token is known, but not for this.
    Forbidden,
    /// The job, node or path does not exist.
    NotFound,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// What is asked for does not fit the state of things.
    Conflict,
    /// The body is longer than is allowed.
    TooLarge,
    /// Too many requests, or too many with a wrong token.
    TooMany,
    /// This node does not lead, and cannot reach the one that does. Nothing was done.
    NotLeader,
    /// The cluster cannot answer now; what was asked may or may not have been done.
    Unavailable,
    /// The answer took too long; what was asked may or may not have been done.
    TimedOut,
    /// A defect of the node.
    Internal,
}

impl ApiCode {
    /// Every code.
    pub const ALL: [Self; 12] = [
        Self::Invalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::TooLarge,
        Self::TooMany,
        Self::NotLeader,
        Self::Unavailable,
        Self::TimedOut,
        Self::Internal,
    ];

    /// The word that bodies have.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::NotLeader => "not_leader",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::NotLeader | Self::Unavailable => 503,
            Self::TimedOut => 504,
        }
    }

    /// Whether the same request may well be answered later.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::NotLeader | Self::Unavailable | Self::TimedOut)
    }

    /// The nearest code for a status that came without one.
    pub fn of_status(status: u16) -> Self {
        match (status, Self::ALL.iter().find(|code| code.status() == status)) {
            // Of the two codes of a 503 the one that promises less.
            (503, _) => Self::Unavailable,
            (_, Some(code)) => *code,
            (400..500, None) => Self::Invalid,
            (_, None) => Self::Internal,
        }
    }

    /// What the code means, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Invalid => "the request is wrong",
            Self::Unauthorized => "the token is missing or not known",
            Self::Forbidden => "the token does not allow this",
            Self::NotFound => "there is no such thing",
            Self::MethodNotAllowed => "the path has no such method",
            Self::Conflict => "it does not fit the state of things",
            Self::TooLarge => "the body is too long",
            Self::TooMany => "too many requests",
            Self::NotLeader => "the leader cannot be reached",
            Self::Unavailable => "the cluster cannot answer now",
            Self::TimedOut => "the answer took too long",
            Self::Internal => "a defect of the node",
        }
    }
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct ApiError {
    /// What went wrong.
    pub code: ApiCode,
    /// One line that names the thing and the way out.
    pub detail: String,
    /// When it is worth asking again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error without advice on when to ask again.
    pub fn new(code: ApiCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: None }
    }

    /// The same error, with the advice to ask again after `pause`.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }

    /// A wrong request.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ApiCode::Invalid, detail)
    }

    /// Something that does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ApiCode::NotFound, detail)
    }
}

/// What the type of a problem begins with; its code follows. Nothing has to be there to be fetched.
pub const PROBLEM_BASE: &str = "urn:airlift:problem:";

/// The body of an error, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What kind of problem it is: the code as a URI.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// What the code means.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The code, as [`ApiCode`] is written.
    pub code: String,
    /// One line about this very request.
    pub detail: String,
    /// When it is worth asking again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
}

impl From<&ApiError> for Problem {
    fn from(error: &ApiError) -> Self {
        let code = error.code.as_str();
        Self {
            kind: format!("{PROBLEM_BASE}{code}"),
            title: error.code.title().to_owned(),
            status: error.code.status(),
            code: code.to_owned(),
            detail: error.detail.clone(),
            // Less than a second must not become "at once".
            retry_after_seconds: error.retry_after.map(|pause| pause.as_secs().max(1)),
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let code = serde_json::from_value(problem.code.into());
        Self {
            code: code.unwrap_or_else(|_| ApiCode::of_status(problem.status)),
            detail: problem.detail,
            retry_after: problem.retry_after_seconds.map(Duration::from_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_survives_its_body() {
        for code in ApiCode::ALL {
            let error = ApiError::new(code, "why").retry_after(Duration::from_secs(2));
            let problem = Problem::from(&error);
            assert_eq!(problem.kind, format!("{PROBLEM_BASE}{}", problem.code));
            assert_eq!(serde_json::to_value(code).unwrap(), problem.code);
            assert_eq!(ApiError::from(problem), error);
        }
    }

    #[test]
    fn codes_of_a_newer_node_are_read_by_their_status() {
        let problem = |status| Problem {
            kind: String::new(),
            title: String::new(),
            status,
            code: "unheard_of".to_owned(),
            detail: String::new(),
            retry_after_seconds: None,
        };
        for (status, code) in [
            (404, ApiCode::NotFound),
            (418, ApiCode::Invalid),
            (503, ApiCode::Unavailable),
            (599, ApiCode::Internal),
        ] {
            assert_eq!(ApiError::from(problem(status)).code, code);
        }
    }
}
