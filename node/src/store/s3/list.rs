//! Listing, page by page with one page read ahead, and looking up keys by the cheaper way.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use async_trait::async_trait;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, Object, OptionalObjectAttributes};
use aws_smithy_types::DateTime;
use tokio::sync::mpsc;

use super::archive::is_listed_archived;
use super::client::Bucket;
use super::digest::unquoted;
use super::error::store_error;
use super::for_each;
use super::keys::url_decode;
use crate::store::lookup::{self, Pages};
use crate::store::{ListRequest, Listed, StoreError};

/// Pages without a key that may follow each other: stores send them after many deletes, and a
/// store that sends nothing else never ends.
const EMPTY_PAGES_MAX: u32 = 1_000;

/// About what an answer to a listing has.
const PAGE_BYTES: u64 = 256 << 10;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// After this key of the bucket.
    After(String),
    /// Where this token of the store says.
    Token(String),
    /// There is none.
    End,
}

/// One answer to a listing.
#[derive(Debug)]
struct ListedPage {
    entries: Vec<Entry>,
    next: Next,
}

impl Bucket {
    pub(super) async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        lookup::list(Listing::new(self, &request)?, found).await
    }
}

/// The first key of the location after `after`.
pub(super) async fn next_key(bucket: &Bucket, after: &Key) -> Result<Option<Key>, StoreError> {
    let request = ListRequest { after: Some(after.clone()), until: None };
    lookup::first_key(Listing { page_keys: Some(1), ..Listing::new(bucket, &request)? }).await
}

/// A listing in progress, with the checks that keep a wrong answer from becoming a wrong manifest.
#[derive(Debug)]
struct Listing<'a> {
    bucket: &'a Bucket,
    until: Option<Key>,
    /// Keys of an answer, at most; `None` for as many as the store gives.
    page_keys: Option<i32>,
    next: Next,
    last: Option<Key>,
    empty_pages: u32,
    /// Objects listed.
    seen: u64,
}

impl<'a> Listing<'a> {
    fn new(bucket: &'a Bucket, request: &ListRequest) -> Result<Self, StoreError> {
        let next = match &request.after {
            // Before the first key below the prefix there is nothing to skip.
            Some(after) if after.as_bytes().is_empty() => Next::After(String::new()),
            Some(after) => Next::After(bucket.full(after)?),
            None => Next::After(String::new()),
        };
        let last = request.after.clone();
        let until = request.until.clone();
        Ok(Self { bucket, until, page_keys: None, next, last, empty_pages: 0, seen: 0 })
    }

    fn check_order(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut last = self.last.as_ref();
        for entry in entries {
            if last.is_some_and(|last| entry.key <= *last) {
                let name = self.bucket.name_of(&entry.key);
                return Err(self.protocol(&format!("{name} is listed out of order")));
            }
            last = Some(&entry.key);
        }
        self.last = last.cloned();
        Ok(())
    }

    fn protocol(&self, text: &str) -> StoreError {
        let place = self.bucket.place();
        StoreError::new(ErrorCode::Protocol, format!("list {place}: {text}"))
    }
}

impl Bucket {
    async fn page(&self, from: &Next, keys: Option<i32>) -> Result<ListedPage, StoreError> {
        let request = self
            .client()
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(self.names.prefix())
            .set_max_keys(keys)
            .encoding_type(EncodingType::Url)
            .optional_object_attributes(OptionalObjectAttributes::RestoreStatus);
        let request = match from {
            Next::After(key) if key.is_empty() => request,
            Next::After(key) => request.start_after(key),
            Next::Token(token) => request.continuation_token(token),
            Next::End => return Ok(ListedPage { entries: Vec::new(), next: Next::End }),
        };
        let list = async {
            let answer = request.send().await;
            answer.map_err(|error| store_error("list", &self.place(), &self.service, &error))
        };
        let answer = self.pace.reads.pass(PAGE_BYTES, list).await?;
        self.read_page(&answer)
    }

    fn read_page(&self, answer: &ListObjectsV2Output) -> Result<ListedPage, StoreError> {
        let is_encoded = answer.encoding_type() == Some(&EncodingType::Url);
        let mut entries = Vec::with_capacity(answer.contents().len());
        let mut last = None;
        for object in answer.contents() {
            let full = self.listed_key(object, is_encoded)?;
            if !self.names.is_own_marker(&full) {
                entries.push(self.entry(&full, object)?);
            }
            last = Some(full);
        }
        let next = match (answer.is_truncated(), answer.next_continuation_token(), last) {
            (Some(true), Some(token), _) => Next::Token(token.to_owned()),
            (Some(true), None, Some(last)) => Next::After(last),
            (Some(true), None, None) => {
                let text = "the store says that more follows, and not where";
                return Err(self.list_error(text));
            }
            _ => Next::End,
        };
        Ok(ListedPage { entries, next })
    }

    fn listed_key(&self, object: &Object, is_encoded: bool) -> Result<String, StoreError> {
        let raw = object.key().ok_or_else(|| self.list_error("an object has no key"))?;
        if !is_encoded {
            return Ok(raw.to_owned());
        }
        url_decode(raw).ok_or_else(|| {
            self.list_error(&format!("the key '{}' is not url-encoded UTF-8", Key::from(raw)))
        })
    }

    fn entry(&self, full: &str, object: &Object) -> Result<Entry, StoreError> {
        let key = self.names.relative(full).ok_or_else(|| {
            self.list_error(&format!("the key '{}' is outside the prefix", Key::from(full)))
        })?;
        let size = object.size().and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| {
            self.list_error(&format!("the object '{}' has no size", Key::from(full)))
        })?;
        let entry = new_entry(key, size, object.last_modified(), object.e_tag());
        Ok(Entry { is_archived: is_listed_archived(object, self.restores), ..entry })
    }

    fn list_error(&self, text: &str) -> StoreError {
        StoreError::new(ErrorCode::Protocol, format!("list {}: {text}", self.place()))
    }
}

/// An entry, which can be read at once, from what both a listing and a description say.
pub(super) fn new_entry(
    key: Key,
    size: u64,
    last_modified: Option<&DateTime>,
    etag: Option<&str>,
) -> Entry {
    let kind = match size == 0 && key.as_bytes().ends_with(b"/") {
        true => Kind::Directory,
        false => Kind::Object,
    };
    let mtime_ns = last_modified.and_then(whole_seconds_ns);
    Entry { key, kind, size, mtime_ns, version: version_of(etag), is_archived: false }
}

/// The state that an ETag stands for.
pub(super) fn version_of(etag: Option<&str>) -> Version {
    match etag.map(unquoted) {
        Some(etag) if !etag.is_empty() => Version::ETag(etag.into()),
        _ => Version::None,
    }
}

/// Nanoseconds of a time cut to whole seconds: descriptions know no more, listings sometimes do.
pub(super) fn whole_seconds_ns(time: &DateTime) -> Option<i64> {
    time.secs().checked_mul(NS_PER_SECOND)
}

#[async_trait]
impl Pages for Listing<'_> {
    async fn page(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        let page = match &self.next {
            Next::End => return Ok(None),
            next => self.bucket.page(next, self.page_keys).await?,
        };
        if page.next == self.next {
            return Err(self.protocol("the store repeats a page of the listing"));
        }
        self.empty_pages = if page.entries.is_empty() { self.empty_pages + 1 } else { 0 };
        if self.empty_pages > EMPTY_PAGES_MAX {
            return Err(self.protocol("the store sends nothing but empty pages"));
        }
        self.next = page.next;
        let mut entries = page.entries;
        self.seen += entries.len() as u64;
        self.check_order(&entries)?;
        if let Some(until) = &self.until {
            let within = entries.partition_point(|entry| entry.key <= *until);
            if within < entries.len() {
                entries.truncate(within);
                self.next = Next::End;
            }
        }
        Ok(Some(entries))
    }

    fn seen(&self) -> u64 {
        self.seen
    }
}

/// Looks up `keys`, which ascend.
pub(super) async fn lookup(
    bucket: &Arc<Bucket>,
    keys: Vec<Key>,
) -> Vec<Result<Option<Entry>, StoreError>> {
    let describe = |key: Key| {
        let bucket = Arc::clone(bucket);
        async move { Ok(bucket.stat(&key).await?.map(|info| info.entry)) }
    };
    let describe = |keys| for_each(bucket.requests_max, keys, describe);
    lookup::lookup(keys, |request| Listing::new(bucket, request), describe).await
}
