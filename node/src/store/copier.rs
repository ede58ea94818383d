//! Copies that a service makes itself, from one of its places to another, so that no byte of them comes here.

use std::fmt::Debug;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::manifest::Entry;
use airlift_protocol::time::Timestamp;
use async_trait::async_trait;

use super::{NewObject, OpenedUpload, StoreError};

/// Whether what a service copied is shown to be what its source holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Sums that the service stores of both, each over all their bytes, are the same.
    Proven,
    /// There are none that can be compared, for this reason.
    Unproven(String),
}

/// Access to the copies of one service, from one store of it to another.
#[async_trait]
pub trait Copier: Debug + Send + Sync {
    /// Why a copy of `listed` could not be proven or is not worth being tried, as far as its listing says.
    fn objection(&self, listed: &Entry) -> Option<String>;

    /// Whether `listed` is copied into an upload, because one request cannot copy it so that it is proven.
    fn wants_upload(&self, listed: &Entry) -> bool;

    /// Copies `listed` by one request, pinned to its listed state. What is not proven is at the target all the
    /// same, complete, for the caller to replace.
    async fn copy(&self, listed: &Entry, object: &NewObject) -> Result<Proof, StoreError>;

    /// Begins an upload for a copy of `listed`, or takes up `resume`, as [`open_upload`] does; `None` when
    /// such a copy could not be proven.
    ///
    /// [`open_upload`]: super::Store::open_upload
    async fn open_upload(
        &self,
        listed: &Entry,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<Option<OpenedUpload>, StoreError>;

    /// Copies what the upload does not have yet, and makes it visible. Idempotent.
    async fn commit(
        &self,
        listed: &Entry,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Proof, StoreError>;
}
