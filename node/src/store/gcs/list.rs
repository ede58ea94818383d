//! Listing, page by page with one page read ahead, and looking up keys by the cheaper way.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::bucket::{Bucket, Subject};
use super::error::store_error;
use super::names::is_staged;
use super::resource::Resource;
use crate::store::each::for_each;
use crate::store::http::{Failed, Patience};
use crate::store::lookup::{self, Pages};
use crate::store::{ListRequest, Listed, StoreError};

/// Objects that are asked for in one page.
const PAGE_ENTRIES: usize = 1_000;

/// Objects that are asked for to find the first one behind a name, which itself comes first where it is
/// there.
const PROBE_ENTRIES: usize = 2;

/// Pages without an object that may follow each other: the service may send them, and one that
/// sends nothing else never ends.
const EMPTY_PAGES_MAX: u32 = 1_000;

/// What the service calls a listing.
const LISTING: &str = "storage#objects";

/// What a listing needs to know of an object.
const FIELDS: &str = "kind,nextPageToken,items(name,size,generation,timeCreated,crc32c)";

/// One answer to a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListedPage {
    /// What the document is: one of something else would look like an empty last page.
    kind: String,
    pub(super) items: Vec<Resource>,
    pub(super) next_page_token: Option<String>,
}

impl Bucket {
    /// One page of the objects whose names begin with `prefix`, from `start` on.
    pub(super) async fn page(
        &self,
        prefix: &str,
        start: Option<&str>,
        token: Option<&str>,
    ) -> Result<ListedPage, Failed> {
        self.page_of(PAGE_ENTRIES, prefix, start, token).await
    }

    /// The same with so many objects, at most.
    async fn page_of(
        &self,
        entries: usize,
        prefix: &str,
        start: Option<&str>,
        token: Option<&str>,
    ) -> Result<ListedPage, Failed> {
        let entries = entries.to_string();
        let mut query =
            vec![("prefix", prefix), ("maxResults", entries.as_str()), ("fields", FIELDS)];
        query.extend(start.map(|start| ("startOffset", start)));
        query.extend(token.map(|token| ("pageToken", token)));
        let request = self.request(Method::GET, Subject::Objects, &query)?;
        let page: ListedPage = self.ask(request, Patience::Normal).await?;
        match page.kind == LISTING {
            true => Ok(page),
            false => Err(Failed::protocol("the answer to a listing is no listing")),
        }
    }

    pub(super) async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        lookup::list(Listing::new(self, &request)?, found).await
    }

    fn list_error(&self, text: &str) -> StoreError {
        StoreError::new(ErrorCode::Protocol, format!("list {}: {text}", self.place()))
    }
}

/// The first key of the location after `after`.
pub(super) async fn next_key(bucket: &Bucket, after: &Key) -> Result<Option<Key>, StoreError> {
    let request = ListRequest { after: Some(after.clone()), until: None };
    let listing = Listing { page_entries: PROBE_ENTRIES, ..Listing::new(bucket, &request)? };
    lookup::first_key(listing).await
}

/// A listing in progress, with the checks that keep a wrong answer from becoming a wrong manifest.
#[derive(Debug)]
struct Listing<'a> {
    bucket: &'a Bucket,
    request: ListRequest,
    /// The name that the first page begins with.
    start: Option<String>,
    token: Option<String>,
    /// Objects of a page, at most.
    page_entries: usize,
    is_over: bool,
    last: Option<String>,
    empty_pages: u32,
    objects_seen: u64,
}

impl<'a> Listing<'a> {
    fn new(bucket: &'a Bucket, request: &ListRequest) -> Result<Self, StoreError> {
        let start = match &request.after {
            // Before the first key below the prefix there is nothing to skip.
            Some(after) if after.as_bytes().is_empty() => None,
            Some(after) => Some(bucket.names.full(after)?),
            None => None,
        };
        Ok(Self {
            bucket,
            request: request.clone(),
            start,
            token: None,
            page_entries: PAGE_ENTRIES,
            is_over: false,
            last: None,
            empty_pages: 0,
            objects_seen: 0,
        })
    }

    /// The entry of a listed object, unless it is none of the location's or before what is wanted.
    fn take(&mut self, object: &Resource) -> Result<Option<Entry>, StoreError> {
        let name = Key::from(object.name.as_str());
        if self.last.as_ref().is_some_and(|last| *last >= object.name) {
            let text = format!("the object '{name}' is listed out of order");
            return Err(self.bucket.list_error(&text));
        }
        self.last = Some(object.name.clone());
        let names = &self.bucket.names;
        if names.is_own_marker(&object.name) || is_staged(&object.name) {
            return Ok(None);
        }
        let key = names.relative(&object.name).ok_or_else(|| {
            self.bucket.list_error(&format!("the object '{name}' is outside the prefix"))
        })?;
        let is_before = self.request.after.as_ref().is_some_and(|after| key <= *after);
        if is_before {
            return Ok(None);
        }
        let entry = object.entry(key);
        let no_size = || self.bucket.list_error(&format!("the object '{name}' has no size"));
        entry.ok_or_else(no_size).map(Some)
    }
}

#[async_trait]
impl Pages for Listing<'_> {
    async fn page(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let prefix = self.bucket.names.prefix();
        let (entries, start, token) =
            (self.page_entries, self.start.as_deref(), self.token.as_deref());
        let page = self.bucket.page_of(entries, prefix, start, token).await;
        let page = page.map_err(|failed| store_error("list", &self.bucket.place(), &failed))?;
        let next = page.next_page_token.filter(|token| !token.is_empty());
        if next.is_some() && next == self.token {
            return Err(self.bucket.list_error("the service repeats a page of the listing"));
        }
        self.empty_pages = if page.items.is_empty() { self.empty_pages + 1 } else { 0 };
        if self.empty_pages > EMPTY_PAGES_MAX {
            return Err(self.bucket.list_error("the service sends nothing but empty pages"));
        }
        self.is_over = next.is_none();
        self.token = next;
        self.objects_seen += page.items.len() as u64;
        let mut entries = Vec::with_capacity(page.items.len());
        for object in &page.items {
            entries.extend(self.take(object)?);
        }
        if let Some(until) = &self.request.until {
            let within = entries.partition_point(|entry| entry.key <= *until);
            self.is_over |= within < entries.len();
            entries.truncate(within);
        }
        Ok(Some(entries))
    }

    fn seen(&self) -> u64 {
        self.objects_seen
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
