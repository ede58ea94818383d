//! Quantities with their units: whole numbers only, parsed from and printed for people.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ByteRate(pub u64);

/// A number of bytes, printed with a binary unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ByteCount(pub u64);

/// A half-open range of bytes, `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ByteRange {
    /// First byte of the range.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

impl ByteRange {
    /// `start..end`.
    ///
    /// # Panics
    /// When `end` lies before `start`: a programming error.
    pub fn new(start: u64, end: u64) -> Self {
        assert!(start <= end, "byte range {start}..{end} runs backwards");
        Self { start, end }
    }

    /// Bytes in the range.
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether the range has no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether every byte of `other` lies in this range.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// Why a quantity could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseQuantityError {
    /// No digits, a sign, a fraction or a unit that is not known.
    #[error(
        "'{text}' is not a size: write digits and a unit, such as 500, 64K, 100M or 2G (powers of 1024)"
    )]
    Malformed {
        /// What was given.
        text: String,
    },
    /// More than 2^64 - 1 bytes.
    #[error("'{text}' is too large")]
    TooLarge {
        /// What was given.
        text: String,
    },
    /// Zero, where zero would stop everything.
    #[error("'{text}' must be more than 0")]
    Zero {
        /// What was given.
        text: String,
    },
}

/// Reads digits with an optional unit `K M G T P` (powers of 1024; `KiB` and `KB` are the same).
fn parse_bytes(text: &str) -> Result<u64, ParseQuantityError> {
    let malformed = || ParseQuantityError::Malformed { text: text.to_owned() };
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let shift = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(malformed()),
    };
    if digits.is_empty() {
        return Err(malformed());
    }
    let too_large = || ParseQuantityError::TooLarge { text: text.to_owned() };
    let number: u64 = digits.parse().map_err(|_| too_large())?;
    number.checked_mul(1 << shift).ok_or_else(too_large)
}

impl FromStr for ByteCount {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_bytes(text).map(Self)
    }
}

impl FromStr for ByteRate {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match parse_bytes(text.strip_suffix("/s").unwrap_or(text))? {
            0 => Err(ParseQuantityError::Zero { text: text.to_owned() }),
            rate => Ok(Self(rate)),
        }
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let step = (self.0.ilog2() / 10) as usize;
        let unit_bytes = 1u64 << (10 * step);
        let tenths = (u128::from(self.0) * 10 / u128::from(unit_bytes)) as u64;
        write!(f, "{}.{} {}", tenths / 10, tenths % 10, UNITS[step - 1])
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", ByteCount(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("500", 500),
            ("64K", 64 << 10),
            ("64k", 64 << 10),
            ("100M", 100 << 20),
            ("2GiB", 2 << 30),
            ("3TB", 3 << 40),
            ("7b", 7),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
    }

    #[test]
    fn bad_sizes_are_refused() {
        for text in ["", "M", "1.5G", "-1", "10X", "99999999999999999999", "20000000P"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
        assert!("0".parse::<ByteRate>().is_err());
        assert_eq!("10M/s".parse(), Ok(ByteRate(10 << 20)));
    }

    #[test]
    fn sizes_print_with_one_decimal() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(ByteCount(bytes).to_string(), text);
        }
    }
}
