//! Listing, page by page with one page read ahead, and looking up keys by the cheaper way.
//!
//! The service lists blobs in the order of their names. A directory marker `dir/` is the blob `dir`,
//! which is listed before `dir-x` and has to come after it: markers are held back until nothing can
//! follow that belongs before them. Only blobs whose names begin with a marker's name lie between
//! the two, so that no more markers are held back than a name has characters.

use std::collections::BTreeMap;
use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use async_trait::async_trait;
use reqwest::Method;
use tokio::sync::mpsc;

use super::archive::ARCHIVE;
use super::attributes::IS_FOLDER;
use super::container::{Container, Subject, parse_date};
use super::error::store_error;
use super::xml::Element;
use crate::runtime::blocking::blocking;
use crate::store::digest::unquoted;
use crate::store::each::for_each;
use crate::store::http::{Patience, body, path};
use crate::store::lookup::{self, Pages};
use crate::store::{ListRequest, Listed, StoreError};

/// Pages without a blob that may follow each other: the service sends them when it crosses from
/// one of its partitions to the next, and one that sends nothing else never ends.
const EMPTY_PAGES_MAX: u32 = 1_000;

/// Bytes of one page: 5,000 blobs with long names and 8 KiB of metadata each.
const PAGE_BYTES_MAX: usize = 128 << 20;

/// One answer to a listing: blobs in the order of their names.
#[derive(Debug, Default, PartialEq, Eq)]
struct ListedPage {
    blobs: Vec<Blob>,
    next: Option<String>,
}

/// One blob of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blob {
    name: String,
    entry: Entry,
}

impl Container {
    pub(super) async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        lookup::list(Listing::new(self, &request), found).await
    }

    async fn page(&self, prefix: &str, marker: Option<&str>) -> Result<ListedPage, StoreError> {
        let entries = self.page_entries.to_string();
        let mut query = vec![
            ("restype", "container"),
            ("comp", "list"),
            ("include", "metadata"),
            ("maxresults", entries.as_str()),
            ("prefix", prefix),
        ];
        query.extend(marker.map(|marker| ("marker", marker)));
        let document = async {
            let request = self.request(Method::GET, Subject::Container, &query)?;
            body::document(self.send(request, Patience::Normal).await?, PAGE_BYTES_MAX).await
        };
        let document =
            document.await.map_err(|failed| store_error("list", &self.place(), &failed))?;
        // Thousands of blobs take a while.
        let root = blocking(move || Element::parse(&document)).await;
        self.read_page(&root.map_err(|error| self.list_error(&error.to_string()))?)
    }

    fn read_page(&self, root: &Element) -> Result<ListedPage, StoreError> {
        let blobs = root.child("Blobs").ok_or_else(|| self.list_error("it lists no blobs"))?;
        let blobs = blobs.all("Blob").map(|blob| self.read_blob(blob));
        let next = root.text_of("NextMarker").map(str::to_owned);
        Ok(ListedPage { blobs: blobs.collect::<Result<_, _>>()?, next })
    }

    fn read_blob(&self, blob: &Element) -> Result<Blob, StoreError> {
        let name = blob.child("Name").ok_or_else(|| self.list_error("a blob has no name"))?;
        let name = match name.attribute("Encoded") {
            Some("true") => path::decoded(&name.text).ok_or_else(|| {
                let text = format!("the name '{}' is not UTF-8", Key::from(name.text.as_str()));
                self.list_error(&text)
            })?,
            _ => name.text.clone(),
        };
        let properties = blob.child("Properties");
        let property = |name: &str| properties.and_then(|all| all.text_of(name));
        let size = property("Content-Length").and_then(|size| size.parse().ok());
        let size: u64 = size.ok_or_else(|| {
            self.list_error(&format!("the blob '{}' has no size", Key::from(name.as_str())))
        })?;
        let is_folder = blob.child("Metadata").is_some_and(|metadata| {
            metadata.children.iter().any(|pair| {
                pair.name.eq_ignore_ascii_case(IS_FOLDER) && pair.text.eq_ignore_ascii_case("true")
            })
        });
        let is_marker = is_folder && size == 0 && !name.ends_with('/');
        let full = if is_marker { format!("{name}/") } else { name.clone() };
        let key = self.names.relative(&full).ok_or_else(|| {
            self.list_error(&format!("the blob '{}' is outside the prefix", Key::from(&*name)))
        })?;
        let mtime_ns = property("Last-Modified").and_then(parse_date);
        let entry = new_entry(key, size, mtime_ns, property("Etag"));
        let entry = Entry { is_archived: property("AccessTier") == Some(ARCHIVE), ..entry };
        Ok(Blob { name, entry })
    }

    fn list_error(&self, text: &str) -> StoreError {
        StoreError::new(ErrorCode::Protocol, format!("list {}: {text}", self.place()))
    }
}

/// An entry, which can be read at once, from what both a listing and a description say.
pub(super) fn new_entry(key: Key, size: u64, mtime_ns: Option<i64>, etag: Option<&str>) -> Entry {
    let kind = match size == 0 && key.as_bytes().ends_with(b"/") {
        true => Kind::Directory,
        false => Kind::Object,
    };
    let version = match etag.map(unquoted) {
        Some(etag) if !etag.is_empty() => Version::ETag(etag.into()),
        _ => Version::None,
    };
    Entry { key, kind, size, mtime_ns, version, is_archived: false }
}

/// A listing in progress, with the checks that keep a wrong answer from becoming a wrong manifest.
#[derive(Debug)]
struct Listing<'a> {
    container: &'a Container,
    request: ListRequest,
    /// What all keys that are wanted begin with.
    prefix: String,
    /// Where the next page begins; `None` before the first.
    marker: Option<String>,
    is_over: bool,
    sorter: Sorter,
    empty_pages: u32,
    blobs_seen: u64,
}

impl<'a> Listing<'a> {
    fn new(container: &'a Container, request: &ListRequest) -> Self {
        Self {
            container,
            prefix: format!("{}{}", container.names.prefix(), shared(request)),
            request: request.clone(),
            marker: None,
            is_over: false,
            sorter: Sorter::default(),
            empty_pages: 0,
            blobs_seen: 0,
        }
    }

    fn disorder(&self, name: &str) -> StoreError {
        let name = Key::from(name);
        self.container.list_error(&format!("the blob '{name}' is listed out of order"))
    }
}

/// What all keys within the bounds of `request` begin with. A marker's blob does so too: its name is
/// shorter by a slash, and a key that is shorter than what both bounds share lies outside of them.
fn shared(request: &ListRequest) -> &str {
    let (Some(after), Some(until)) = (&request.after, &request.until) else { return "" };
    let (Some(after), Some(until)) = (after.as_str(), until.as_str()) else { return "" };
    let pairs = after.char_indices().zip(until.chars());
    let end = pairs.take_while(|((_, one), other)| one == other).last();
    end.map_or("", |((place, character), _)| &after[..place + character.len_utf8()])
}

/// Puts directory markers where their keys belong.
#[derive(Debug, Default)]
struct Sorter {
    held_back: BTreeMap<Key, Entry>,
    last: Option<String>,
}

impl Sorter {
    /// Takes the next blob, and adds to `sorted` what nothing can come before any more. Fails with
    /// the name of a blob that is not after the one before.
    fn take(&mut self, blob: Blob, sorted: &mut Vec<Entry>) -> Result<(), String> {
        if self.last.as_ref().is_some_and(|last| *last >= blob.name) {
            return Err(blob.name);
        }
        let key = blob.entry.key.clone();
        let bytes = key.as_bytes();
        let is_marker = !blob.name.ends_with('/') && bytes.ends_with(b"/");
        // Whatever follows belongs after the name of this blob.
        let here = if is_marker { Key::new(&bytes[..bytes.len() - 1]) } else { key.clone() };
        while let Some(first) = self.held_back.first_entry().filter(|first| *first.key() <= here) {
            let entry = first.remove();
            // A blob that is named as the marker's key is takes its place.
            if entry.key != key {
                sorted.push(entry);
            }
        }
        match is_marker {
            true => drop(self.held_back.insert(key, blob.entry)),
            false => sorted.push(blob.entry),
        }
        self.last = Some(blob.name);
        Ok(())
    }

    fn finish(&mut self, sorted: &mut Vec<Entry>) {
        sorted.extend(std::mem::take(&mut self.held_back).into_values());
    }
}

#[async_trait]
impl Pages for Listing<'_> {
    async fn page(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.container.page(&self.prefix, self.marker.as_deref()).await?;
        if page.next.is_some() && page.next == self.marker {
            return Err(self.container.list_error("the service repeats a page of the listing"));
        }
        self.empty_pages = if page.blobs.is_empty() { self.empty_pages + 1 } else { 0 };
        if self.empty_pages > EMPTY_PAGES_MAX {
            return Err(self.container.list_error("the service sends nothing but empty pages"));
        }
        self.blobs_seen += page.blobs.len() as u64;
        self.is_over = page.next.is_none();
        self.marker = page.next;
        let mut entries = Vec::with_capacity(page.blobs.len());
        for blob in page.blobs {
            if !self.container.names.is_own_marker(&blob.name) {
                self.sorter.take(blob, &mut entries).map_err(|name| self.disorder(&name))?;
            }
        }
        if self.is_over {
            self.sorter.finish(&mut entries);
        }
        if let Some(after) = &self.request.after {
            entries.retain(|entry| entry.key > *after);
        }
        if let Some(until) = &self.request.until {
            let within = entries.partition_point(|entry| entry.key <= *until);
            self.is_over |= within < entries.len();
            entries.truncate(within);
        }
        Ok(Some(entries))
    }

    fn seen(&self) -> u64 {
        self.blobs_seen
    }
}

/// Looks up `keys`, which ascend.
pub(super) async fn lookup(
    container: &Arc<Container>,
    keys: Vec<Key>,
) -> Vec<Result<Option<Entry>, StoreError>> {
    let describe = |key: Key| {
        let container = Arc::clone(container);
        async move { Ok(container.stat(&key).await?.map(|info| info.entry)) }
    };
    let describe = |keys| for_each(container.requests_max, keys, describe);
    lookup::lookup(keys, |request| Ok(Listing::new(container, request)), describe).await
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::JobId;
    use proptest::prelude::*;

    use super::*;
    use crate::store::azure::{AzureEnvironment, AzureOptions};

    fn container(prefix: &str) -> Container {
        let key = Some("a2V5".to_owned());
        let options = AzureOptions {
            account: Some("a".to_owned()),
            environment: AzureEnvironment { key, ..AzureEnvironment::default() },
            ..AzureOptions::new("c", prefix, JobId([0; 16]))
        };
        Container::open(options).unwrap()
    }

    fn read(prefix: &str, blobs: &str) -> Result<ListedPage, StoreError> {
        let text = format!("<R><Blobs>{blobs}</Blobs><NextMarker>n</NextMarker></R>");
        container(prefix).read_page(&Element::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_page_is_read_with_its_markers_translated() {
        let properties = "<Properties><Last-Modified>Thu, 01 Jan 1970 00:00:05 GMT</Last-Modified>\
             <Etag>0x1</Etag><Content-Length>0</Content-Length></Properties>";
        let page = read(
            "p/",
            &format!(
                "<Blob><Name>p/dir</Name>{properties}<Metadata><Hdi_IsFolder>true</Hdi_IsFolder>\
                 </Metadata></Blob><Blob><Name Encoded=\"true\">p/a%20b</Name>{properties}</Blob>\
                 <Blob><Name>p/ </Name>{properties}<Metadata/></Blob>"
            ),
        );
        let page = page.unwrap();
        assert_eq!(page.next.as_deref(), Some("n"));
        let found: Vec<(String, Kind)> = page
            .blobs
            .iter()
            .map(|blob| (blob.entry.key.to_string(), blob.entry.kind.clone()))
            .collect();
        let expected = [("dir/", Kind::Directory), ("a b", Kind::Object), (" ", Kind::Object)];
        assert_eq!(found, expected.map(|(key, kind)| (key.to_owned(), kind)));
        assert_eq!(page.blobs[0].entry.mtime_ns, Some(5_000_000_000));
        assert_eq!(page.blobs[0].entry.version, Version::ETag("0x1".into()));
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for blobs in [
            "<Blob><Properties/></Blob>",
            "<Blob><Name>p/x</Name></Blob>",
            "<Blob><Name>other</Name><Properties><Content-Length>1</Content-Length></Properties></Blob>",
            "<Blob><Name Encoded='true'>p/%ff</Name></Blob>",
        ] {
            assert_eq!(read("p/", blobs).unwrap_err().code, ErrorCode::Protocol, "{blobs}");
        }
    }

    #[test]
    fn bounds_share_what_all_keys_between_them_begin_with() {
        let request = |after: &str, until: &str| ListRequest {
            after: Some(after.into()),
            until: Some(until.into()),
        };
        for (after, until, expected) in
            [("ab/c", "ab/d", "ab/"), ("a", "b", ""), ("é1", "é2", "é"), ("ab", "abc", "ab")]
        {
            assert_eq!(shared(&request(after, until)), expected);
        }
        assert_eq!(shared(&ListRequest::default()), "");
    }

    fn blob(name: &str, is_marker: bool) -> Blob {
        let key = if is_marker { format!("{name}/") } else { name.to_owned() };
        let entry = new_entry(Key::from(key.as_str()), u64::from(!is_marker), None, None);
        Blob { name: name.to_owned(), entry }
    }

    #[test]
    fn a_blob_out_of_order_is_named() {
        let mut sorter = Sorter::default();
        let mut sorted = Vec::new();
        sorter.take(blob("b", false), &mut sorted).unwrap();
        assert_eq!(sorter.take(blob("a", false), &mut sorted), Err("a".to_owned()));
        assert_eq!(sorter.take(blob("b", true), &mut sorted), Err("b".to_owned()));
    }

    proptest! {
        #[test]
        fn markers_come_where_their_keys_belong(
            names in prop::collection::btree_map("[-./0a]{1,6}", any::<bool>(), 0..60),
        ) {
            let blobs: Vec<Blob> = names
                .iter()
                .map(|(name, is_marker)| blob(name, *is_marker && !name.ends_with('/')))
                .collect();
            let mut sorter = Sorter::default();
            let mut sorted = Vec::new();
            for blob in blobs.clone() {
                sorter.take(blob, &mut sorted).unwrap();
                prop_assert!(sorter.held_back.len() <= 7);
            }
            sorter.finish(&mut sorted);
            let keys: Vec<Key> = sorted.into_iter().map(|entry| entry.key).collect();
            let mut expected: Vec<Key> = blobs.into_iter().map(|blob| blob.entry.key).collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(keys, expected);
        }
    }
}
