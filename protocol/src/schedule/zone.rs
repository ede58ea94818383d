//! Whose clock a schedule goes by: a fixed distance from UTC, or a place of the time zone database that
//! the program carries with it.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::ZONE_NAME_BYTES_MAX;
use crate::time::Timestamp;

/// The farthest that a clock may be from UTC, in minutes.
const OFFSET_MINUTES_MAX: i16 = 18 * 60;

/// Whose clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Zone {
    /// So many minutes ahead of UTC, always.
    Offset(i16),
    /// That of a place, put forward and back as it is there.
    Named(String),
}

/// Why a text names no zone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "'{0}' is no time zone: write UTC, a distance from it such as +01:00, or a name such as Europe/Berlin"
)]
pub struct BadZone(pub String);

impl Zone {
    /// Seconds by which its clock is ahead of UTC at `at`, milliseconds since 1970, and when that changes
    /// next; `None` when the zone, or such a time, is not known here.
    pub(super) fn offset_at(&self, at: Timestamp) -> Option<(i32, Option<Timestamp>)> {
        let name = match self {
            Self::Offset(minutes) => return Some((i32::from(*minutes) * 60, None)),
            Self::Named(name) => name,
        };
        let zone = lookup(name)?;
        let instant = jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        let until = zone.following(instant).next();
        let until = until.and_then(|it| u64::try_from(it.timestamp().as_millisecond()).ok());
        Some((zone.to_offset(instant).seconds(), until.map(Timestamp)))
    }
}

fn lookup(name: &str) -> Option<TimeZone> {
    if name.len() > ZONE_NAME_BYTES_MAX {
        return None;
    }
    TimeZoneDatabase::bundled().get(name).ok()
}

fn parse_offset(text: &str) -> Option<i16> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "00"));
    let is_plain = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(hours) || !is_plain(minutes) {
        return None;
    }
    let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= OFFSET_MINUTES_MAX).then_some(sign * total)
}

impl FromStr for Zone {
    type Err = BadZone;

    fn from_str(text: &str) -> Result<Self, BadZone> {
        if text.eq_ignore_ascii_case("utc") {
            return Ok(Self::Offset(0));
        }
        if let Some(minutes) = parse_offset(text) {
            return Ok(Self::Offset(minutes));
        }
        let zone = lookup(text);
        let name = zone.as_ref().and_then(TimeZone::iana_name);
        name.map(|name| Self::Named(name.to_owned())).ok_or_else(|| BadZone(text.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(0) => f.write_str("UTC"),
            Self::Offset(minutes) => {
                let (sign, total) = (if *minutes < 0 { '-' } else { '+' }, minutes.unsigned_abs());
                write!(f, "{sign}{:02}:{:02}", total / 60, total % 60)
            }
            Self::Named(name) => f.write_str(name),
        }
    }
}
