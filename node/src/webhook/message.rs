//! What a webhook is told, and the signature by which it knows that a node says it.

use airlift_protocol::error::Failure;
use airlift_protocol::time::Timestamp;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::SigningSecret;
use crate::api::view::{FailureView, JobSummary, utc};

/// The header with the event's id: the same in every attempt, so that it can be told once.
pub const ID_HEADER: &str = "airlift-event-id";

/// The header with the signature: `t=SECONDS,v1=HEX`.
pub const SIGNATURE_HEADER: &str = "airlift-signature";

/// The body of a message.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// Names the event in its cluster; who has seen it already may ignore it.
    pub id: String,
    /// What has happened.
    pub event: &'static str,
    /// The cluster.
    pub cluster: String,
    /// The job; empty in a test.
    pub job_id: String,
    /// Its run.
    pub run: u32,
    /// When it happened, in UTC, as far as the cluster's log knows the time.
    pub at: String,
    /// Why, where there is a reason.
    pub reason: Option<FailureView>,
    /// The job as it is when this is first sent; `None` when it is not on record any more.
    pub job: Option<JobSummary>,
}

impl Message {
    /// A message that says nothing, to find out whether it arrives.
    pub fn test(id: String, at: Timestamp) -> Self {
        Self {
            id,
            event: "test",
            cluster: String::new(),
            job_id: String::new(),
            run: 0,
            at: utc(at),
            reason: None,
            job: None,
        }
    }

    /// The body's bytes.
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: a message is plain JSON")
    }
}

/// A reason as it is told.
pub fn reason(failure: &Failure) -> FailureView {
    FailureView { code: failure.code, reason: failure.detail().to_owned() }
}

/// The value of [`SIGNATURE_HEADER`]: HMAC-SHA256 of the time in seconds, a point, and the body.
pub fn signature(secret: &SigningSecret, at: Timestamp, body: &[u8]) -> String {
    let seconds = (at.0 / 1000).to_string();
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&secret.0).expect("invariant: a key of any length serves");
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("t={seconds},v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
    #[test]
    fn a_signature_is_what_other_programs_compute() {
        let secret = SigningSecret(b"0123456789abcdef".to_vec());
        let text = signature(&secret, Timestamp(1_700_000_000_999), b"{}");
        assert_eq!(text, format!("t=1700000000,v1={GOLDEN}"));
        assert_ne!(text, signature(&secret, Timestamp(1_700_000_001_000), b"{}"));
        assert_ne!(text, signature(&secret, Timestamp(1_700_000_000_999), b"{ }"));
    }

    const GOLDEN: &str = "e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e";

    #[test]
    fn a_message_has_its_json_form() {
        let message = Message::test("abc".to_owned(), Timestamp(0));
        let body: serde_json::Value = serde_json::from_slice(&message.body()).unwrap();
        let golden = serde_json::json!({
            "id": "abc", "event": "test", "cluster": "", "job_id": "", "run": 0,
            "at": "1970-01-01T00:00:00Z", "reason": null, "job": null,
        });
        assert_eq!(body, golden);
    }
}
