//! The audit log: every change that somebody made, each entry with a hash over the one before, so that
//! none can be altered, left out or put in without all after it showing it.
//!
//! The hash is plain BLAKE3 over lines of text, for whoever wants to check it with other means than
//! Airlift's (`b3sum`): see [`AuditEntry::text`].

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::LogIndex;
use crate::limits::AUDIT_TEXT_BYTES_MAX;
use crate::time::Timestamp;

/// What stands in the place of a hash before the first entry.
pub const GENESIS: [u8; 32] = [0; 32];

/// The first line of what is hashed.
const HEAD: &str = "airlift audit 1";

/// One change, as it is kept: texts, so that what a later build calls it alters no hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Counted from 1, without gaps.
    pub number: u64,
    /// The entry of the cluster's log that made the change.
    pub index: LogIndex,
    /// Wall-clock time of the leader that took the request.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// What was done: a word, a dot, a word.
    pub action: String,
    /// To what: the id of a job, the name of a node or token.
    pub subject: String,
    /// More about it.
    pub detail: String,
    /// [`link`](Self::link) with the hash of the entry before.
    pub hash: [u8; 32],
}

impl AuditEntry {
    /// What is hashed: lines that each end in a line feed, of a version, the hash before in hexadecimal,
    /// and the fields.
    pub fn text(&self, previous: [u8; 32]) -> String {
        let (number, index, at) = (self.number, self.index.0, self.at.0);
        let Self { by, action, subject, detail, .. } = self;
        let previous = hex(&previous);
        format!(
            "{HEAD}\n{previous}\n{number}\n{index}\n{at}\n{by}\n{action}\n{subject}\n{detail}\n"
        )
    }

    /// The hash that the entry has behind the one with the hash `previous`.
    pub fn link(&self, previous: [u8; 32]) -> [u8; 32] {
        *blake3::hash(self.text(previous).as_bytes()).as_bytes()
    }

    /// Whether a line end within a field could make it read as another entry.
    fn is_ambiguous(&self) -> bool {
        [&self.by, &self.action, &self.subject, &self.detail]
            .iter()
            .any(|text| text.chars().any(char::is_control))
    }
}

/// A text as an entry has it: without control characters, and not longer than allowed.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for char in text.chars() {
        let before = plain.len();
        match char.is_control() {
            true => plain.extend(char.escape_default()),
            false => plain.push(char),
        }
        if plain.len() > AUDIT_TEXT_BYTES_MAX - "…".len() {
            plain.truncate(before);
            plain.push('…');
            break;
        }
    }
    plain
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Follows a chain from one entry to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Number of the last entry; 0 before the first.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// Where a chain is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// Entries are missing, doubled or in another order.
    #[error("entry {found} stands where entry {expected} should")]
    Number {
        /// The number that should follow.
        expected: u64,
        /// The one that does.
        found: u64,
    },
    /// The entry or one before it was altered.
    #[error("entry {number} does not have the hash that it and the entry before it give")]
    Hash {
        /// Which.
        number: u64,
    },
    /// No field that Airlift writes has control characters.
    #[error("entry {number} has a control character in a field, which Airlift never writes")]
    Text {
        /// Which.
        number: u64,
    },
}

impl Chain {
    /// Before the first entry of all.
    pub const START: Self = Self { number: 0, hash: GENESIS };

    /// Goes on to the next entry.
    ///
    /// # Errors
    /// When it does not follow: the chain stays where it was.
    pub fn follow(&mut self, entry: &AuditEntry) -> Result<(), Broken> {
        let (number, expected) = (entry.number, self.number.saturating_add(1));
        if number != expected {
            return Err(Broken::Number { expected, found: number });
        }
        if entry.is_ambiguous() {
            return Err(Broken::Text { number });
        }
        if entry.link(self.hash) != entry.hash {
            return Err(Broken::Hash { number });
        }
        *self = Self { number, hash: entry.hash };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, previous: [u8; 32]) -> AuditEntry {
        let mut entry = AuditEntry {
            number,
            index: LogIndex(10 + number),
            at: Timestamp(1000),
            by: "root".to_owned(),
            action: "job.pause".to_owned(),
            subject: "ab".to_owned(),
            detail: String::new(),
            hash: GENESIS,
        };
        entry.hash = entry.link(previous);
        entry
    }

    fn three() -> Vec<AuditEntry> {
        let mut entries: Vec<AuditEntry> = Vec::new();
        for number in 1..=3 {
            let previous = entries.last().map_or(GENESIS, |last| last.hash);
            entries.push(entry(number, previous));
        }
        entries
    }

    fn followed(entries: &[AuditEntry]) -> Result<(), Broken> {
        let mut chain = Chain::START;
        entries.iter().try_for_each(|entry| chain.follow(entry))
    }

    #[test]
    fn the_hash_is_that_of_lines_anybody_can_write() {
        let zeros = "0".repeat(64);
        let text = format!("airlift audit 1\n{zeros}\n1\n11\n1000\nroot\njob.pause\nab\n\n");
        let first = entry(1, GENESIS);
        assert_eq!(first.text(GENESIS), text);
        assert_eq!(first.hash, *blake3::hash(text.as_bytes()).as_bytes());
    }

    #[test]
    fn whatever_is_altered_breaks_the_chain_at_its_place() {
        assert_eq!(followed(&three()), Ok(()));
        let changes: [fn(&mut AuditEntry); 7] = [
            |entry| entry.index.0 += 1,
            |entry| entry.at.0 += 1,
            |entry| entry.by.push('x'),
            |entry| entry.action.push('x'),
            |entry| entry.subject.push('x'),
            |entry| entry.detail.push('x'),
            |entry| entry.hash[0] ^= 1,
        ];
        for change in changes {
            let mut entries = three();
            change(&mut entries[1]);
            assert_eq!(followed(&entries), Err(Broken::Hash { number: 2 }));
        }
        // Altered with a hash that fits, it is the next one that shows it.
        let mut entries = three();
        entries[1].by = "nobody".to_owned();
        entries[1].hash = entries[1].link(entries[0].hash);
        assert_eq!(followed(&entries), Err(Broken::Hash { number: 3 }));
    }

    #[test]
    fn what_is_missing_doubled_or_moved_is_named() {
        let [one, two, three] = <[AuditEntry; 3]>::try_from(three()).unwrap();
        let number = |expected, found| Err(Broken::Number { expected, found });
        assert_eq!(followed(&[one.clone(), three.clone()]), number(2, 3));
        assert_eq!(followed(&[one.clone(), one.clone()]), number(2, 1));
        assert_eq!(followed(std::slice::from_ref(&two)), number(1, 2));
        let mut later = Chain { number: 1, hash: one.hash };
        assert_eq!(later.follow(&two).and_then(|()| later.follow(&three)), Ok(()));
    }

    #[test]
    fn a_line_end_cannot_move_text_from_one_field_to_another() {
        let mut entries = three();
        entries[1].subject = "x\ny".to_owned();
        entries[1].hash = entries[1].link(entries[0].hash);
        assert_eq!(followed(&entries), Err(Broken::Text { number: 2 }));
    }

    #[test]
    fn texts_have_no_control_characters_and_are_bounded() {
        assert_eq!(plain("a\nb\u{7f}ä"), "a\\nb\\u{7f}ä");
        let long = plain(&"ä".repeat(AUDIT_TEXT_BYTES_MAX));
        assert!(long.len() <= AUDIT_TEXT_BYTES_MAX && long.ends_with('…'));
        assert!(plain(&"\n".repeat(1000)).len() <= AUDIT_TEXT_BYTES_MAX);
    }
}
