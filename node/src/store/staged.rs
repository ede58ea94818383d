//! Names of staged files, for stores whose objects become visible by a rename.
//!
//! The token of an upload is the name of its staged file: a hash of the key, by which an upload is
//! found whose token was never reported; the fingerprint of the source state; and what no other file
//! ever has, so that whatever a journal says was written under a token was written to this very file.

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::key::Key;

use super::NewObject;

/// What names of staged files of uploads begin with.
const PREFIX: &str = "upload-";

/// What the staged files of all uploads of `key` begin with.
pub(super) fn key_prefix(key: &Key) -> String {
    let hash = blake3::derive_key("airlift 2026-11 staged upload", key.as_bytes());
    let hex = data_encoding::HEXLOWER.encode(&hash[..16]);
    format!("{PREFIX}{hex}-")
}

/// What the staged files of all uploads of this state of `object` begin with.
pub(super) fn token_prefix(object: &NewObject) -> String {
    format!("{}{}-", key_prefix(&object.entry.key), object.entry.fingerprint())
}

/// Whether `token` was given for this state of `object`, and so is a plain name.
pub(super) fn is_token_of(object: &NewObject, token: &UploadToken) -> bool {
    token.0.starts_with(&token_prefix(object)) && is_plain(token)
}

/// Whether `token` was given for some state of `key`, and so is a plain name.
pub(super) fn is_token_of_key(key: &Key, token: &UploadToken) -> bool {
    token.0.starts_with(&key_prefix(key)) && is_plain(token)
}

fn is_plain(token: &UploadToken) -> bool {
    !token.0.contains(['/', '\0'])
}

/// The time of last modification that an object gets: its own, else the one it was listed with.
pub(super) fn mtime_ns(object: &NewObject) -> Option<i64> {
    object.attributes.mtime_ns.or(object.entry.mtime_ns)
}
