//! Files of an inventory in Parquet: put aside first, since what they mean stands at their end, and read only
//! once their MD5 is right. Of their columns only those are read that say what a listing says.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use airlift_protocol::key::Key;
use airlift_protocol::limits::KEY_BYTES_MAX;
use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::Inventory;
use super::read::Reader;
use super::s3::{Record, Trouble, Wrong};
use super::sort::{Item, Sorter};
use crate::runtime::blocking::blocking;
use crate::store::StoreError;

const KEY: &str = "key";
const SIZE: &str = "size";
const MODIFIED: &str = "last_modified_date";
const ETAG: &str = "e_tag";
const CLASS: &str = "storage_class";
const IS_LATEST: &str = "is_latest";
const IS_DELETE_MARKER: &str = "is_delete_marker";

/// The columns that are read, where a file has them.
const COLUMNS: [&str; 7] = [KEY, SIZE, MODIFIED, ETAG, CLASS, IS_LATEST, IS_DELETE_MARKER];

/// Reads one file, which has this key and MD5, into `sorter`.
///
/// # Errors
/// When it cannot be read, is damaged, or not in its form.
pub(super) async fn add_file(
    inventory: &Inventory,
    (key, md5): (&str, &str),
    prefix: &Key,
    sorter: &mut Sorter,
) -> Result<(), StoreError> {
    let named = Key::from(key);
    let wrong = |why: Wrong| inventory.malformed(format!("its file '{named}' {why}"));
    let (file, digest) = put_aside(inventory, &named).await?;
    if !HEXLOWER.encode(&digest).eq_ignore_ascii_case(md5) {
        return Err(wrong(Wrong::Digest));
    }
    let (mut taken, prefix) = (std::mem::take(sorter), prefix.clone());
    let work = move || {
        let outcome = add_rows(file, &prefix, &mut taken);
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

/// Copies a file into one without a name; its MD5.
async fn put_aside(inventory: &Inventory, key: &Key) -> Result<(File, [u8; 16]), StoreError> {
    let scratch = inventory.scratch.clone();
    let failed = |scratch: &Path, error: &std::io::Error| {
        StoreError::io("put aside a file of the inventory in", scratch.display(), error)
    };
    let mut reader = Reader::open(&*inventory.store, key).await?;
    let place = scratch.clone();
    let file = blocking(move || tempfile::tempfile_in(place)).await;
    let (mut file, mut digest) = (file.map_err(|error| failed(&scratch, &error))?, Md5::new());
    while let Some(bytes) = reader.next().await? {
        let write = move || {
            digest.update(&bytes);
            (file.write_all(&bytes), file, digest)
        };
        let (written, same, so_far) = blocking(write).await;
        (file, digest) = (same, so_far);
        written.map_err(|error| failed(&scratch, &error))?;
    }
    Ok((file, digest.finalize().into()))
}

impl From<ParquetError> for Trouble {
    fn from(error: ParquetError) -> Self {
        Self::Wrong(Wrong::Parquet(error))
    }
}

fn add_rows(file: File, prefix: &Key, sorter: &mut Sorter) -> Result<(), Trouble> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema();
    let columns: Vec<_> = schema
        .get_fields()
        .iter()
        .filter(|field| COLUMNS.contains(&field.name()))
        .cloned()
        .collect();
    if !columns.iter().any(|column| column.name() == KEY) {
        return Err(Wrong::Column(KEY).into());
    }
    let wanted = Type::group_type_builder(schema.name()).with_fields(columns).build()?;
    for row in reader.get_row_iter(Some(wanted))? {
        if let Some(item) = item(&row?, prefix)? {
            sorter.push(item).map_err(Trouble::Store)?;
        }
    }
    Ok(())
}

/// The object that a row is about, if that is one of the source's.
fn item(row: &Row, prefix: &Key) -> Result<Option<Item>, Wrong> {
    let mut record = Record::default();
    let mut is_there = true;
    for (name, field) in row.get_column_iter() {
        let wrong = |column| Err(Wrong::Value(column));
        match (name.as_str(), field) {
            (KEY, Field::Str(key)) if key.len() <= KEY_BYTES_MAX => record.key = key.as_bytes(),
            (KEY, Field::Bytes(key)) if key.len() <= KEY_BYTES_MAX => record.key = key.data(),
            (KEY, _) => return wrong(KEY),
            (_, Field::Null) => {}
            (SIZE, Field::Long(size)) => {
                record.size = Some(u64::try_from(*size).map_err(|_| Wrong::Value(SIZE))?);
            }
            (SIZE, _) => return wrong(SIZE),
            (MODIFIED, Field::TimestampMillis(time) | Field::Long(time)) => {
                record.modified_s = Some(time.div_euclid(1_000));
            }
            (MODIFIED, Field::TimestampMicros(time)) => {
                record.modified_s = Some(time.div_euclid(1_000_000));
            }
            (MODIFIED, _) => return wrong(MODIFIED),
            (ETAG, field) => record.etag = Some(text(field).ok_or(Wrong::Value(ETAG))?),
            (CLASS, field) => record.class = Some(text(field).ok_or(Wrong::Value(CLASS))?),
            (IS_LATEST, Field::Bool(is_latest)) => is_there &= is_latest,
            (IS_LATEST, _) => return wrong(IS_LATEST),
            (IS_DELETE_MARKER, Field::Bool(is_marker)) => is_there &= !is_marker,
            (IS_DELETE_MARKER, _) => return wrong(IS_DELETE_MARKER),
            _ => {}
        }
    }
    record.etag = record.etag.filter(|etag| !etag.is_empty());
    Ok(record.item(prefix).filter(|_| is_there))
}

fn text(field: &Field) -> Option<&str> {
    match field {
        Field::Str(text) => Some(text),
        Field::Bytes(bytes) => bytes.as_utf8().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use parquet::basic::Compression;
    use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use proptest::prelude::*;

    use super::*;

    /// As Amazon writes it, without the columns that say more than a listing.
    const SCHEMA: &str = "message s3.inventory {
        required binary bucket (UTF8); required binary key (UTF8); optional boolean is_latest;
        optional boolean is_delete_marker; optional int64 size;
        optional int64 last_modified_date (TIMESTAMP_MILLIS); optional binary e_tag (UTF8);
        optional binary storage_class (UTF8); }";

    /// Key, whether it is the latest, whether a marker of a delete, size, ETag and class.
    type Line = (&'static str, bool, bool, Option<i64>, &'static str, &'static str);

    const TIME_MS: i64 = 1_793_527_200_123;

    fn write(lines: &[Line]) -> File {
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = tempfile::tempfile().unwrap();
        let kept = file.try_clone().unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
        let texts = |text: &dyn Fn(&Line) -> &'static str| -> Vec<ByteArray> {
            lines.iter().map(|line| text(line).into()).collect()
        };
        let flags =
            |flag: &dyn Fn(&Line) -> bool| -> Vec<bool> { lines.iter().map(flag).collect() };
        let all = vec![1; lines.len()];
        let sizes: Vec<i64> = lines.iter().filter_map(|line| line.3).collect();
        let sized: Vec<i16> = lines.iter().map(|line| i16::from(line.3.is_some())).collect();
        let mut group = writer.next_row_group().unwrap();
        for number in 0.. {
            let Some(mut column) = group.next_column().unwrap() else { break };
            let written = match number {
                0 => column.typed::<ByteArrayType>().write_batch(&texts(&|_| "b"), None, None),
                1 => column.typed::<ByteArrayType>().write_batch(&texts(&|it| it.0), None, None),
                2 => column.typed::<BoolType>().write_batch(&flags(&|it| it.1), Some(&all), None),
                3 => column.typed::<BoolType>().write_batch(&flags(&|it| it.2), Some(&all), None),
                4 => column.typed::<Int64Type>().write_batch(&sizes, Some(&sized), None),
                5 => {
                    let times = vec![TIME_MS; lines.len()];
                    column.typed::<Int64Type>().write_batch(&times, Some(&all), None)
                }
                6 => column.typed::<ByteArrayType>().write_batch(
                    &texts(&|it| it.4),
                    Some(&all),
                    None,
                ),
                _ => column.typed::<ByteArrayType>().write_batch(
                    &texts(&|it| it.5),
                    Some(&all),
                    None,
                ),
            };
            written.unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        kept
    }

    fn items(file: File) -> Result<Vec<Item>, Trouble> {
        let mut sorter = Sorter::new(std::env::temp_dir());
        add_rows(file, &Key::from("p/"), &mut sorter)?;
        sorter.finish().and_then(|mut sorted| sorted.batch(100)).map_err(Trouble::Store)
    }

    #[test]
    fn rows_become_entries_of_the_source() {
        let file = write(&[
            // Keys are as they are: only CSV has them encoded.
            ("p/z%20+", true, false, Some(7), "abc", "STANDARD"),
            ("p/a", true, false, Some(0), "d", "DEEP_ARCHIVE"),
            ("p/old", false, false, Some(1), "e", "STANDARD"),
            ("p/gone", true, true, None, "", ""),
            ("elsewhere", true, false, Some(1), "f", "STANDARD"),
            ("p/", true, false, Some(0), "g", "STANDARD"),
            ("p/unknown", true, false, None, "", ""),
        ]);
        let items = items(file).unwrap();
        let [archived, unknown, object] = &items[..] else { panic!("{items:?}") };
        assert!(archived.entry.as_ref().unwrap().is_archived && archived.key == Key::from("a"));
        assert_eq!((&unknown.key, &unknown.entry), (&Key::from("unknown"), &None));
        let entry = object.entry.as_ref().unwrap();
        assert_eq!((&object.key, entry.size), (&Key::from("z%20+"), 7));
        assert_eq!(entry.version, airlift_protocol::manifest::Version::ETag("abc".into()));
        assert_eq!(entry.mtime_ns, Some(TIME_MS / 1_000 * 1_000_000_000), "whole seconds");
    }

    proptest! {
        #[test]
        fn damaged_files_are_refused_or_read_and_nothing_else(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut file = write(&[("p/a", true, false, Some(7), "abc", "STANDARD"); 40]);
            let mut bytes = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let mut damaged = tempfile::tempfile().unwrap();
            damaged.write_all(&bytes).unwrap();
            let outcome = items(damaged);
            prop_assert!(matches!(outcome, Ok(_) | Err(Trouble::Wrong(_))), "{:?}", outcome);
        }
    }

    #[test]
    fn what_no_inventory_has_is_refused() {
        let negative = items(write(&[("p/a", true, false, Some(-1), "a", "STANDARD")]));
        assert!(matches!(negative, Err(Trouble::Wrong(Wrong::Value(SIZE)))), "{negative:?}");
        let long: &'static str = "p".repeat(KEY_BYTES_MAX + 1).leak();
        let long = items(write(&[(long, true, false, Some(1), "a", "STANDARD")]));
        assert!(matches!(long, Err(Trouble::Wrong(Wrong::Value(KEY)))), "{long:?}");
        let mut text = tempfile::tempfile().unwrap();
        text.write_all(b"no file of Parquet, by far").unwrap();
        assert!(matches!(items(text), Err(Trouble::Wrong(Wrong::Parquet(_)))));
    }
}
