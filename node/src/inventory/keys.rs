//! Plain lists of keys: one a line, or, as `find -print0` writes them, with a NUL after each, by which
//! keys with line feeds can be named too.

use airlift_protocol::key::Key;
use airlift_protocol::limits::KEY_BYTES_MAX;

use super::Inventory;
use super::read::{Blocks, Reader};
use super::sort::{Item, Sorter};
use crate::runtime::blocking::blocking;
use crate::store::StoreError;

/// Reads the list into `sorter`.
///
/// # Errors
/// When it cannot be read, or has a line that is no key.
pub(super) async fn read(inventory: &Inventory, sorter: &mut Sorter) -> Result<(), StoreError> {
    let mut reader = Reader::open(&*inventory.store, &inventory.key).await?;
    let mut blocks = Blocks::default();
    let mut separator = None;
    while let Some(bytes) = reader.next().await? {
        let separator = *separator.get_or_insert_with(|| separator_of(&bytes));
        let block = blocks.push(&bytes, separator).map_err(|_| too_long(inventory))?;
        add(inventory, sorter, block, separator).await?;
    }
    let rest = blocks.finish();
    add(inventory, sorter, rest, separator.unwrap_or(b'\n')).await
}

/// A NUL can stand in no line of a list whose keys end with a line feed.
fn separator_of(first: &[u8]) -> u8 {
    if first.contains(&0) { 0 } else { b'\n' }
}

async fn add(
    inventory: &Inventory,
    sorter: &mut Sorter,
    block: Vec<u8>,
    separator: u8,
) -> Result<(), StoreError> {
    let keys = keys_of(&block, separator);
    if keys.iter().any(|key| key.as_bytes().len() > KEY_BYTES_MAX) {
        return Err(too_long(inventory));
    }
    let mut taken = std::mem::take(sorter);
    *sorter = blocking(move || {
        keys.into_iter().try_for_each(|key| taken.push(Item { key, entry: None }))?;
        Ok::<_, StoreError>(taken)
    })
    .await?;
    Ok(())
}

fn keys_of(block: &[u8], separator: u8) -> Vec<Key> {
    let lines = block.split(|byte| *byte == separator);
    // Lists that were written on other systems end their lines with two characters.
    let lines = lines.map(|line| match separator {
        b'\n' => line.strip_suffix(b"\r").unwrap_or(line),
        _ => line,
    });
    lines.filter(|line| !line.is_empty()).map(Key::new).collect()
}

fn too_long(inventory: &Inventory) -> StoreError {
    inventory.malformed(format!(
        "a line has more than the {KEY_BYTES_MAX} bytes that a key can have: is it a list of keys, one a line?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_one_a_line_or_between_nuls() {
        let of = |text: &[u8], separator| -> Vec<String> {
            keys_of(text, separator).iter().map(ToString::to_string).collect()
        };
        assert_eq!(of(b"a\n\n b \r\nc//d", b'\n'), ["a", " b ", "c//d"]);
        assert_eq!(of(b"a\nb\0c\r\0", 0), ["a\\x0ab", "c\\x0d"]);
        assert_eq!(separator_of(b"a\nb\0"), 0);
        assert_eq!(separator_of(b"a\nb"), b'\n');
    }
}
