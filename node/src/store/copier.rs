//! Copies that a service makes itself, from one of its places to another, so that no byte of them comes here.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Version};
use airlift_protocol::time::Timestamp;
use async_trait::async_trait;

use super::{NewObject, OpenedUpload, StoreError};

/// Copies that are not proven, one after the other, after which no more are tried: the bucket encrypts
/// with keys of its owner, say, and each would be copied and then moved all the same.
const UNPROVEN_MAX: u32 = 8;

/// Whether what a service copied is shown to be what its source holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Sums that the service stores of both, each over all their bytes, are the same.
    Proven,
    /// There are none that can be compared.
    Unproven(Unproven),
}

/// A copy that is not shown to be what its source holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// Why it is not.
    pub why: String,
    /// The state that the service gave to what it has made, as far as it said one; `None` when it has made
    /// nothing.
    pub written: Option<Version>,
}

impl Proof {
    /// Nothing was copied, for this reason.
    pub(super) fn nothing(why: &str) -> Self {
        Self::Unproven(Unproven { why: why.to_owned(), written: None })
    }
}

/// Access to the copies of one service, from one store of it to another.
#[async_trait]
pub trait Copier: Debug + Send + Sync {
    /// Why a copy of `listed` could not be proven or is not worth being tried, as far as its listing says.
    fn objection(&self, listed: &Entry) -> Option<String>;

    /// Whether `listed` is copied into an upload, because one request cannot copy it so that it is proven.
    fn wants_upload(&self, _listed: &Entry) -> bool {
        false
    }

    /// Copies `listed` whole, pinned to its listed state. What is not proven may be at the target all the same,
    /// complete, for the caller to take away.
    async fn copy(&self, listed: &Entry, object: &NewObject) -> Result<Proof, StoreError>;

    /// Begins an upload for a copy of `listed`, or takes up `resume`, as [`open_upload`] does; `None` when
    /// such a copy could not be proven.
    ///
    /// [`open_upload`]: super::Store::open_upload
    async fn open_upload(
        &self,
        _listed: &Entry,
        _object: &NewObject,
        _resume: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<Option<OpenedUpload>, StoreError> {
        Ok(None)
    }

    /// Copies what the upload does not have yet, and makes it visible. Idempotent.
    async fn commit(
        &self,
        _listed: &Entry,
        object: &NewObject,
        _token: &UploadToken,
    ) -> Result<Proof, StoreError> {
        let text =
            format!("{}: the service copies objects whole, without an upload", object.entry.key);
        Err(StoreError::new(ErrorCode::UploadLost, text))
    }
}

/// Copies to one place that were not proven, since one was.
#[derive(Debug, Default)]
pub(super) struct Doubts(AtomicU32);

impl Doubts {
    /// Why no more copies are tried, if that is so.
    pub(super) fn objection(&self) -> Option<String> {
        (self.0.load(Ordering::Relaxed) >= UNPROVEN_MAX)
            .then(|| format!("the last {UNPROVEN_MAX} copies by the service could not be proven"))
    }

    /// A copy is proven.
    pub(super) fn proven(&self) -> Proof {
        self.0.store(0, Ordering::Relaxed);
        Proof::Proven
    }

    /// A copy was asked for, and is not proven; `written` is the state of what was made.
    pub(super) fn unproven(&self, why: &str, written: Option<Version>) -> Proof {
        self.0.fetch_add(1, Ordering::Relaxed);
        Proof::Unproven(Unproven { why: why.to_owned(), written })
    }
}
