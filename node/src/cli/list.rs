//! `ls`: keys with size and time.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::units::ByteCount;
use serde_json::json;
use tokio::sync::mpsc;

use super::args::{Global, ListArgs};
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use super::format::{counted, utc};
use super::resolve::{Source, find_source, parse};
use crate::api::line::JsonKey;
use crate::config::Config;
use crate::runtime::again::again;
use crate::store::fence::Fence;
use crate::store::{Handling, ListRequest, Listed, Store, locate};

/// What can be done about a path of a node: no cluster is asked.
const LISTED_HERE: &str =
    "and ls lists what this machine reaches: run it there, with the path alone";

/// Batches of entries that may wait to be printed.
const BATCHES_MAX: usize = 4;

/// What was printed.
#[derive(Clone, Copy, Debug, Default)]
struct Listing {
    objects: u64,
    bytes: u64,
    unreadable: u64,
}

/// Lists a location on standard output, and the sum on standard error.
///
/// # Errors
/// When the location does not exist or cannot be listed.
pub(super) async fn run(
    args: &ListArgs,
    global: &Global,
    config: &Config,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let location = parse(&args.location, &config.stores, LISTED_HERE)?;
    let probe = async |location: &_| Ok(again(|| locate::probe(location, &config.stores)).await?);
    let missing = || CliError::cannot_run(format!("{location} does not exist"));
    let listing = match find_source(&location, LinkPolicy::Copy, probe).await? {
        None => return Err(missing()),
        Some(Source::Container(location)) => {
            let store = open(&location, config).await?;
            list(store, global.json, console).await?
        }
        Some(Source::Object { parent, key, .. }) => {
            let store = open(&parent, config).await?;
            let info = store.stat(&key).await?.ok_or_else(missing)?;
            let mut out = BufWriter::new(io::stdout());
            let written = print(&info.entry, global.json, &mut out).and_then(|()| out.flush());
            unless_closed(written)?;
            Listing { objects: 1, bytes: info.entry.size, unreadable: 0 }
        }
    };
    if !global.quiet {
        let (objects, bytes) = (counted(listing.objects, "object"), ByteCount(listing.bytes));
        console.note(&format!("{objects}, {bytes}"));
    }
    Ok(if listing.unreadable == 0 { ExitCode::Done } else { ExitCode::Trouble })
}

/// Opens a store for reading: links are shown as what they are, and no job leaves anything behind.
async fn open(location: &Location, config: &Config) -> Result<Arc<dyn Store>, CliError> {
    let (job, handling) = (JobId([0; 16]), Handling::of_target());
    Ok(locate::open(location, job, handling, Fence::default(), &config.stores).await?)
}

async fn list(
    store: Arc<dyn Store>,
    is_json: bool,
    console: &Console,
) -> Result<Listing, CliError> {
    let (sender, found) = mpsc::channel(BATCHES_MAX);
    let (listed, printed) = tokio::join!(
        store.list(ListRequest::default(), sender),
        print_all(found, is_json, console)
    );
    let listing = printed?;
    listed?;
    Ok(listing)
}

/// Prints what is found. Taking the receiver away, when nobody reads on, ends the listing.
async fn print_all(
    mut found: mpsc::Receiver<Listed>,
    is_json: bool,
    console: &Console,
) -> Result<Listing, CliError> {
    let mut listing = Listing::default();
    let mut out = BufWriter::new(io::stdout());
    while let Some(batch) = found.recv().await {
        let entries = match batch {
            Listed::Entries(entries) => entries,
            Listed::Unreadable(key, error) => {
                listing.unreadable += 1;
                console.note(&format!("unreadable {key}: {error}"));
                continue;
            }
        };
        listing.objects += entries.len() as u64;
        listing.bytes += entries.iter().map(|entry| entry.size).sum::<u64>();
        let written = entries.iter().try_for_each(|entry| print(entry, is_json, &mut out));
        if written.is_err() {
            unless_closed(written)?;
            return Ok(listing);
        }
    }
    unless_closed(out.flush())?;
    Ok(listing)
}

fn print(entry: &Entry, is_json: bool, out: &mut impl Write) -> io::Result<()> {
    let line = if is_json { document(entry) } else { line(entry) };
    writeln!(out, "{line}")
}

fn line(entry: &Entry) -> String {
    let time = entry.mtime_ns.map_or_else(|| "-".to_owned(), utc);
    let mut line = format!("{:>15}  {time:<20}  {}", entry.size, entry.key);
    match &entry.kind {
        Kind::Symlink(text) => line.push_str(&format!(" -> {}", Key::new(text.as_slice()))),
        Kind::Special => line.push_str("  (socket, pipe or device)"),
        Kind::Object | Kind::Directory => {}
    }
    line
}

fn document(entry: &Entry) -> String {
    let kind = match &entry.kind {
        Kind::Object => "object",
        Kind::Directory => "directory",
        Kind::Symlink(_) => "symlink",
        Kind::Special => "special",
    };
    let etag = match &entry.version {
        Version::ETag(tag) => Some(&**tag),
        Version::None | Version::File { .. } => None,
    };
    let mut document = json!(JsonKey::from(&entry.key));
    document["size"] = entry.size.into();
    document["mtime"] = json!(entry.mtime_ns.map(utc));
    document["kind"] = kind.into();
    document["etag"] = json!(etag);
    if let Kind::Symlink(text) = &entry.kind {
        document["link"] = Key::new(text.as_slice()).to_string().into();
    }
    document.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &[u8], kind: Kind, version: Version) -> Entry {
        Entry {
            key: Key::from(key),
            kind,
            size: 1234,
            mtime_ns: Some(0),
            version,
            is_archived: false,
        }
    }

    #[test]
    fn lines_are_aligned_and_keys_escaped() {
        let object = entry(b"a\xffb", Kind::Object, Version::None);
        assert_eq!(line(&object), "           1234  1970-01-01T00:00:00Z  a\\xffb");
        let link = entry(b"l", Kind::Symlink(b"to\n".to_vec()), Version::None);
        assert!(line(&link).ends_with("  l -> to\\x0a"));
        let untimed = Entry { mtime_ns: None, ..object };
        assert_eq!(line(&untimed), "           1234  -                     a\\xffb");
    }

    #[test]
    fn documents_have_every_field_and_the_exact_key() {
        let object = entry(b"\xff", Kind::Object, Version::ETag("t".into()));
        assert_eq!(
            document(&object),
            r#"{"etag":"t","key":"\\xff","key_base64":"/w==","kind":"object","mtime":"1970-01-01T00:00:00Z","size":1234}"#
        );
        let link = entry(b"l", Kind::Symlink(b"to".to_vec()), Version::None);
        assert!(document(&link).contains(r#""link":"to""#));
    }
}
