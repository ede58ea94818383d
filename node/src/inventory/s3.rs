//! Reports of Amazon S3 Inventory: a manifest in JSON that names files, each with its MD5: comma-separated
//! values, packed with gzip, or Parquet (`parquet`). The form is that of "Locating your inventory list" in the Amazon S3
//! user guide, as of 2026-11.

use std::io::{self, Write};

use airlift_protocol::key::Key;
use airlift_protocol::limits::KEY_BYTES_MAX;
use airlift_protocol::location::Location;
use airlift_protocol::manifest::{Entry, Kind, Version};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use csv::ByteRecord;
use data_encoding::HEXLOWER;
use flate2::write::MultiGzDecoder;
use md5::{Digest, Md5};
use parquet::errors::ParquetError;
use serde::Deserialize;

use super::Inventory;
use super::parquet as columns;
use super::read::{Blocks, Reader};
use super::sort::{Item, Sorter};
use crate::runtime::blocking::blocking;
use crate::store::StoreError;
use crate::store::s3::url_decode;

/// Bytes of a manifest: one line of two hundred bytes for each file of up to a million keys or so.
const MANIFEST_BYTES_MAX: usize = 16 << 20;

/// Packed bytes that are unpacked at once: a thousand times as many may come of them.
const UNPACKED_AT_ONCE: usize = 16 << 10;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// What a manifest says, as far as it is needed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    source_bucket: String,
    file_format: String,
    file_schema: String,
    files: Vec<DataFile>,
}

#[derive(Debug, Deserialize)]
struct DataFile {
    key: String,
    #[serde(rename = "MD5checksum")]
    md5: String,
}

/// Reads the inventory into `sorter`.
///
/// # Errors
/// When a file of it cannot be read, is damaged, or not in its form; or when it is of another bucket.
pub(super) async fn read(inventory: &Inventory, sorter: &mut Sorter) -> Result<(), StoreError> {
    let Location::Bucket { bucket, prefix, .. } = &inventory.source else {
        return Err(inventory.malformed("an inventory is of a bucket, and the source is none"));
    };
    let manifest = manifest(inventory).await?;
    if manifest.source_bucket != *bucket {
        let other = Key::from(manifest.source_bucket.as_str());
        let text = format!("it is of the bucket '{other}', and the source is {}", inventory.source);
        return Err(inventory.malformed(text));
    }
    match manifest.file_format.as_str() {
        "CSV" => {}
        "Parquet" => {
            for DataFile { key, md5 } in &manifest.files {
                columns::add_file(inventory, (key, md5), prefix, sorter).await?;
            }
            return Ok(());
        }
        other => {
            let form = Key::from(other);
            let text = format!("its files are '{form}': let the store write CSV or Parquet");
            return Err(inventory.malformed(text));
        }
    }
    let schema = Schema::of(&manifest.file_schema, prefix.clone());
    let schema = schema.ok_or_else(|| inventory.malformed("its files have no keys"))?;
    for file in &manifest.files {
        add_file(inventory, file, &schema, sorter).await?;
    }
    Ok(())
}

async fn manifest(inventory: &Inventory) -> Result<Manifest, StoreError> {
    let mut reader = Reader::open(&*inventory.store, &inventory.key).await?;
    let mut text = Vec::new();
    while let Some(bytes) = reader.next().await? {
        text.extend_from_slice(&bytes);
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(inventory.malformed("it is too long for a manifest"));
        }
    }
    serde_json::from_slice(&text)
        .map_err(|error| inventory.malformed(format!("it is no manifest of an inventory: {error}")))
}

async fn add_file(
    inventory: &Inventory,
    file: &DataFile,
    schema: &Schema,
    sorter: &mut Sorter,
) -> Result<(), StoreError> {
    let key = Key::from(file.key.as_str());
    let mut reader = Reader::open(&*inventory.store, &key).await?;
    let mut unpacker = Unpacker::default();
    let wrong = |why: Wrong| inventory.malformed(format!("its file '{key}' {why}"));
    while let Some(bytes) = reader.next().await? {
        let (mut taken, schema) = (std::mem::take(sorter), schema.clone());
        let work = move || {
            let outcome = unpacker.push(&bytes, &schema, &mut taken);
            (outcome, unpacker, taken)
        };
        let (outcome, rest, filled) = blocking(work).await;
        (unpacker, *sorter) = (rest, filled);
        match outcome {
            Ok(()) => {}
            Err(Trouble::Wrong(why)) => return Err(wrong(why)),
            Err(Trouble::Store(error)) => return Err(error),
        }
    }
    let (mut taken, schema, md5) = (std::mem::take(sorter), schema.clone(), file.md5.clone());
    let work = move || {
        let outcome = unpacker.finish(&schema, &mut taken, &md5);
        (outcome, taken)
    };
    let (outcome, filled) = blocking(work).await;
    *sorter = filled;
    match outcome {
        Ok(()) => Ok(()),
        Err(Trouble::Wrong(why)) => Err(wrong(why)),
        Err(Trouble::Store(error)) => Err(error),
    }
}

/// What is wrong with a file of an inventory.
#[derive(Debug, thiserror::Error)]
pub(super) enum Wrong {
    #[error("is not packed as it should be: {0}")]
    Packing(io::Error),
    #[error("has a line that does not end")]
    LongLine,
    #[error("has a line that is not comma-separated: {0}")]
    Line(csv::Error),
    #[error("has a line without what its schema promises, or with something else: '{0}'")]
    Record(Key),
    #[error("does not have the MD5 that the manifest says: it is damaged, or was replaced")]
    Digest,
    #[error("is no file of Parquet that can be read: {0}")]
    Parquet(ParquetError),
    #[error("has no column '{0}'")]
    Column(&'static str),
    #[error("has something else in the column '{0}' than an inventory has")]
    Value(&'static str),
}

#[derive(Debug)]
pub(super) enum Trouble {
    Wrong(Wrong),
    Store(StoreError),
}

impl From<Wrong> for Trouble {
    fn from(why: Wrong) -> Self {
        Self::Wrong(why)
    }
}

/// A file on its way from packed bytes to items.
#[derive(Debug)]
struct Unpacker {
    digest: Md5,
    decoder: MultiGzDecoder<Vec<u8>>,
    blocks: Blocks,
}

impl Default for Unpacker {
    fn default() -> Self {
        let (digest, decoder) = (Md5::new(), MultiGzDecoder::new(Vec::new()));
        Self { digest, decoder, blocks: Blocks::default() }
    }
}

impl Unpacker {
    fn push(&mut self, bytes: &Bytes, schema: &Schema, sorter: &mut Sorter) -> Result<(), Trouble> {
        self.digest.update(bytes);
        for piece in bytes.chunks(UNPACKED_AT_ONCE) {
            self.decoder.write_all(piece).map_err(Wrong::Packing)?;
            self.take_lines(schema, sorter)?;
        }
        Ok(())
    }

    fn take_lines(&mut self, schema: &Schema, sorter: &mut Sorter) -> Result<(), Trouble> {
        let unpacked = std::mem::take(self.decoder.get_mut());
        let block = self.blocks.push(&unpacked, b'\n').map_err(|_| Wrong::LongLine)?;
        add_lines(&block, schema, sorter)
    }

    fn finish(mut self, schema: &Schema, sorter: &mut Sorter, md5: &str) -> Result<(), Trouble> {
        self.decoder.try_finish().map_err(Wrong::Packing)?;
        self.take_lines(schema, sorter)?;
        add_lines(&self.blocks.finish(), schema, sorter)?;
        match HEXLOWER.encode(&self.digest.finalize()).eq_ignore_ascii_case(md5) {
            true => Ok(()),
            false => Err(Wrong::Digest.into()),
        }
    }
}

fn add_lines(block: &[u8], schema: &Schema, sorter: &mut Sorter) -> Result<(), Trouble> {
    let mut lines = csv::ReaderBuilder::new().has_headers(false).from_reader(block);
    for record in lines.byte_records() {
        let record = record.map_err(Wrong::Line)?;
        match schema.item(&record) {
            Some(Some(item)) => sorter.push(item).map_err(Trouble::Store)?,
            Some(None) => {}
            None => return Err(Wrong::Record(Key::new(record.as_slice())).into()),
        }
    }
    Ok(())
}

/// Which field of a line is what.
#[derive(Clone, Debug)]
struct Schema {
    /// What stands before the keys of the source.
    prefix: Key,
    key: usize,
    size: Option<usize>,
    modified: Option<usize>,
    etag: Option<usize>,
    class: Option<usize>,
    is_latest: Option<usize>,
    is_delete_marker: Option<usize>,
}

impl Schema {
    /// Reads the names of the fields; `None` when the key is not among them.
    fn of(text: &str, prefix: Key) -> Option<Self> {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        let at = |name: &str| names.iter().position(|known| *known == name);
        Some(Self {
            prefix,
            key: at("Key")?,
            size: at("Size"),
            modified: at("LastModifiedDate"),
            etag: at("ETag"),
            class: at("StorageClass"),
            is_latest: at("IsLatest"),
            is_delete_marker: at("IsDeleteMarker"),
        })
    }

    /// The object that a line is about: `Some(None)` when it is none of the source's, `None` when the
    /// line is not as it should be.
    fn item(&self, record: &ByteRecord) -> Option<Option<Item>> {
        let text = |at: usize| std::str::from_utf8(record.get(at)?).ok();
        let says = |at: Option<usize>, word: &str| {
            at.and_then(text).is_some_and(|said| said.eq_ignore_ascii_case(word))
        };
        if says(self.is_latest, "false") || says(self.is_delete_marker, "true") {
            return Some(None);
        }
        let full = url_decode(text(self.key)?).filter(|key| key.len() <= KEY_BYTES_MAX)?;
        let said = |at: Option<usize>| at.and_then(text).filter(|text| !text.is_empty());
        let time = |time| DateTime::from_str(time, Format::DateTimeWithOffset).ok();
        let record = Record {
            key: full.as_bytes(),
            size: said(self.size).map(str::parse).transpose().ok()?,
            modified_s: match said(self.modified) {
                Some(text) => Some(time(text)?.secs()),
                None => None,
            },
            etag: said(self.etag),
            class: said(self.class),
        };
        Some(record.item(&self.prefix))
    }
}

/// What an inventory says of an object that is there, in whatever form its files have.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    /// Key in the bucket.
    pub(super) key: &'a [u8],
    pub(super) size: Option<u64>,
    /// Seconds since 1970.
    pub(super) modified_s: Option<i64>,
    pub(super) etag: Option<&'a str>,
    pub(super) class: Option<&'a str>,
}

impl Record<'_> {
    /// The object, if it is one below `prefix`.
    pub(super) fn item(&self, prefix: &Key) -> Option<Item> {
        let below = self.key.strip_prefix(prefix.as_bytes()).filter(|below| !below.is_empty())?;
        let key = Key::new(below);
        let Some(size) = self.size else { return Some(Item { key, entry: None }) };
        let is_marker = size == 0 && below.ends_with(b"/");
        let entry = Entry {
            key: key.clone(),
            kind: if is_marker { Kind::Directory } else { Kind::Object },
            size,
            mtime_ns: self.modified_s.and_then(|seconds| seconds.checked_mul(NS_PER_SECOND)),
            version: self.etag.map_or(Version::None, |etag| Version::ETag(etag.into())),
            is_archived: self.class.is_some_and(|class| {
                ["GLACIER", "DEEP_ARCHIVE"].iter().any(|known| class.eq_ignore_ascii_case(known))
            }),
        };
        Some(Item { key, entry: Some(entry) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str =
        "Bucket, Key, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";

    fn items(lines: &str) -> Result<Vec<Item>, Trouble> {
        let schema = Schema::of(SCHEMA, Key::from("p/")).unwrap();
        let mut sorter = Sorter::new(std::env::temp_dir());
        add_lines(lines.as_bytes(), &schema, &mut sorter)?;
        sorter.finish().and_then(|mut sorted| sorted.batch(100)).map_err(Trouble::Store)
    }

    #[test]
    fn lines_become_entries_of_the_source() {
        let items = items(
            "\"b\",\"p/z%20%2B%C3%A9\",\"true\",\"false\",\"7\",\"2026-11-01T10:00:00.123Z\",\"abc\",\"STANDARD\"\n\
             \"b\",\"p/a\",\"true\",\"false\",\"0\",\"2026-11-01T10:00:00.000Z\",\"d\",\"DEEP_ARCHIVE\"\n\
             \"b\",\"p/old\",\"false\",\"false\",\"1\",\"2026-11-01T10:00:00.000Z\",\"e\",\"STANDARD\"\n\
             \"b\",\"p/gone\",\"true\",\"true\",\"\",\"2026-11-01T10:00:00.000Z\",\"\",\"\"\n\
             \"b\",\"elsewhere\",\"true\",\"false\",\"1\",\"2026-11-01T10:00:00.000Z\",\"f\",\"STANDARD\"\n\
             \"b\",\"p/\",\"true\",\"false\",\"0\",\"2026-11-01T10:00:00.000Z\",\"g\",\"STANDARD\"\n",
        )
        .unwrap();
        let entries: Vec<&Entry> = items.iter().filter_map(|item| item.entry.as_ref()).collect();
        let [archived, object] = &entries[..] else { panic!("{items:?}") };
        assert_eq!((&archived.key, archived.is_archived), (&Key::from("a"), true));
        assert_eq!((&object.key, object.size), (&Key::from("z +é"), 7));
        assert_eq!(object.version, Version::ETag("abc".into()));
        assert_eq!(object.mtime_ns, Some(1_793_527_200 * NS_PER_SECOND));
    }

    #[test]
    fn lines_that_do_not_keep_to_the_schema_are_refused() {
        let long = format!("b,p/{},true,false,7,,abc,STANDARD\n", "x".repeat(KEY_BYTES_MAX));
        for line in [
            "b\n",
            &long,
            "b,p/%zz,true,false,7,2026-11-01T10:00:00Z,abc,STANDARD\n",
            "b,p/a,true,false,seven,2026-11-01T10:00:00Z,abc,STANDARD\n",
            "b,p/a,true,false,7,yesterday,abc,STANDARD\n",
        ] {
            assert!(matches!(items(line), Err(Trouble::Wrong(Wrong::Record(_)))), "{line}");
        }
        assert!(Schema::of("Bucket, Size", Key::default()).is_none());
    }
}
