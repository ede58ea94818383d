//! Stores that are only ever read, because their protocol keeps none of what a target promises.

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{
    Access, AttributeSet, Capabilities, Classes, ListRequest, Listed, NewObject, ObjectInfo,
    OpenedUpload, RangeReader, ReadResult, Store, StoreError, Upload,
};
use crate::pipeline::chunk::VerifiedObject;

/// What a store of files on a server can do that holds nothing.
pub(super) fn capabilities() -> Capabilities {
    Capabilities {
        concurrent_parts: 1,
        writes_are_durable: false,
        symlinks: false,
        keeps_mtime: false,
        directories: true,
        lists_ranges: false,
        object_bytes_max: 0,
        keeps: AttributeSet::NONE,
        classes: Classes::None,
    }
}

/// A store that is only ever read; each of these is what [`Store`] says of it.
#[async_trait]
pub(super) trait ReadOnly: std::any::Any + std::fmt::Debug + Send + Sync {
    fn capabilities(&self) -> &Capabilities;

    /// The location, for people.
    fn place(&self) -> &str;

    /// Why nothing is written there, and the way out.
    fn reason(&self) -> &'static str;

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError>;

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>>;

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError>;

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>);

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError>;

    /// Whether the location is there.
    async fn find_root(&self) -> Result<(), StoreError>;
}

/// The error of whatever would write.
fn refusal(store: &impl ReadOnly) -> StoreError {
    let text = format!("{} can be a source only: {}", store.place(), store.reason());
    StoreError::new(ErrorCode::LocationMissing, text)
}

#[async_trait]
impl<T: ReadOnly> Store for T {
    fn capabilities(&self) -> &Capabilities {
        ReadOnly::capabilities(self)
    }

    fn check_key(&self, _entry: &Entry) -> Option<String> {
        Some(refusal(self).to_string())
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        ReadOnly::list(self, request, found).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        ReadOnly::lookup(self, keys).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        ReadOnly::stat(self, key).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        ReadOnly::read_small(self, objects, found).await;
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        ReadOnly::read_range(self, object, range).await
    }

    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>> {
        objects.iter().map(|_| Err(refusal(self))).collect()
    }

    async fn open_upload(
        &self,
        _object: &NewObject,
        _resume: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        Err(refusal(self))
    }

    async fn upload(
        &self,
        _object: &NewObject,
        _token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError> {
        Err(refusal(self))
    }

    async fn commit(
        &self,
        _object: &NewObject,
        _token: &UploadToken,
        _root: Root,
    ) -> Result<(), StoreError> {
        Err(refusal(self))
    }

    /// There is never an upload that could be dropped.
    async fn discard(
        &self,
        _key: &Key,
        _token: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
        entries.iter().map(|_| Err(refusal(self))).collect()
    }

    /// Nothing is ever left here.
    async fn clean(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        match access {
            Access::Write => Err(refusal(self)),
            Access::Read => self.find_root().await,
        }
    }
}
