//! Lists with a limit, refused by their declared length before anything is read into them.
//!
//! An element may take one byte on the wire and a hundred in memory: without a limit of its own, a
//! list in one message could take a hundred times what the message has. For use as
//! `#[serde(deserialize_with = "bounded::list::<_, _, LIMIT>")]`; the encoding is that of any list.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

struct Items<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        if let Some(count) = items.size_hint().filter(|count| *count > MAX) {
            return Err(A::Error::invalid_length(count, &self));
        }
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            list.push(item);
        }
        Ok(list)
    }
}

/// Reads a list of at most `MAX` items.
pub(crate) fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Items::<T, MAX>(PhantomData))
}

/// Reads a set from a list of at most `MAX` items.
pub(crate) fn set<'de, D, T, const MAX: usize>(deserializer: D) -> Result<BTreeSet<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Ord,
{
    list::<D, T, MAX>(deserializer).map(BTreeSet::from_iter)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::codec;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Limited(#[serde(deserialize_with = "super::list::<_, _, 3>")] Vec<u8>);

    #[test]
    fn a_list_within_its_limit_is_read_and_a_longer_one_is_not() {
        let read = |items: &[u8]| codec::decode::<Limited>(&codec::encode(&items.to_vec()), 64);
        assert_eq!(read(&[1, 2, 3]).unwrap(), Limited(vec![1, 2, 3]));
        let error = read(&[1, 2, 3, 4]).unwrap_err().to_string();
        assert!(error.contains("at most 3 items"), "{error}");
    }

    #[test]
    fn a_longer_list_is_refused_by_its_length_alone() {
        // A million items are declared, and none is there.
        let error = codec::decode::<Limited>(&[252, 0, 0, 16, 0], 64).unwrap_err().to_string();
        assert!(error.contains("at most 3 items"), "{error}");
    }
}
