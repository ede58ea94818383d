//! Bandwidths that depend on the time of the week: what a user writes, and what it means at an instant.
//!
//! ```text
//! Mon-Fri 08:00-18:00 200M, Mon-Fri 18:00-08:00 1G, Sat-Sun 00:00-24:00 off; Europe/Berlin
//! ```
//!
//! Times are those of a clock on a wall in the zone: an instant has the limit of the entry in which the
//! hands then stand, so that clocks that are put forward or back move no edge of the day. Without an entry,
//! there is no limit. It never reads a clock.

mod entry;
mod zone;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::entry::WEEK_MINUTES;
pub use self::entry::{Entry, Span};
pub use self::zone::{BadZone, Zone};
use crate::bounded;
use crate::limits::SCHEDULE_ENTRIES_MAX;
use crate::time::Timestamp;
use crate::units::{ByteRate, ParseQuantityError};

const MINUTE_MS: i64 = 60_000;

/// 1970 began on the fourth day of a week.
const FIRST_DAY: i64 = 3;

/// How many bytes per second may move.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Bandwidth {
    /// Always as many.
    Fixed(ByteRate),
    /// By the time of the week.
    Schedule(Schedule),
}

/// Limits by the time of the week.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schedule {
    /// What holds when; no two at once.
    #[serde(deserialize_with = "bounded::list::<_, _, SCHEDULE_ENTRIES_MAX>")]
    entries: Vec<Entry>,
    /// Whose clock it goes by.
    zone: Zone,
}

/// Why a text is no bandwidth, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadBandwidth {
    /// Neither a rate nor a schedule.
    #[error("{0}; or a schedule, such as \"08:00-18:00 200M, 18:00-08:00 off; Europe/Berlin\"")]
    Rate(ParseQuantityError),
    /// An entry is not one.
    #[error("entry {number}, '{text}': {why}")]
    Entry {
        /// Its place, from 1.
        number: usize,
        /// The entry as it was written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two entries hold at once.
    #[error("entry {second}, '{text}', overlaps entry {first} on {day} at {time}")]
    Overlap {
        /// The earlier one's place, from 1.
        first: usize,
        /// The later one's.
        second: usize,
        /// The later one as it was written.
        text: String,
        /// A day on which they do.
        day: &'static str,
        /// When, on that day.
        time: String,
    },
    /// More entries than allowed.
    #[error("{0} entries are more than the {SCHEDULE_ENTRIES_MAX} that a schedule may have")]
    TooMany(usize),
    /// The zone is not known.
    #[error("{0}")]
    Zone(#[from] BadZone),
}

impl Bandwidth {
    /// What may move at `at`, milliseconds since 1970; `None` for everything.
    pub fn limit_at(&self, at: Timestamp) -> Option<ByteRate> {
        match self {
            Self::Fixed(rate) => Some(*rate),
            Self::Schedule(schedule) => schedule.limit_at(at),
        }
    }

    /// The lowest limit that holds at any time from `from` to `until`, both included.
    pub fn lowest(&self, from: Timestamp, until: Timestamp) -> Option<ByteRate> {
        let mut lowest = self.limit_at(from);
        let mut at = from;
        while let Some(edge) = self.next_edge(at).filter(|edge| *edge <= until) {
            lowest = lower(lowest, self.limit_at(edge));
            at = edge;
        }
        lowest
    }

    /// The next instant after `after` at which the limit may be another; `None` for never.
    pub fn next_edge(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Fixed(_) => None,
            Self::Schedule(schedule) => schedule.next_edge(after),
        }
    }
}

/// The lower of two limits; none is above all.
fn lower(one: Option<ByteRate>, other: Option<ByteRate>) -> Option<ByteRate> {
    one.into_iter().chain(other).min()
}

impl From<ByteRate> for Bandwidth {
    fn from(rate: ByteRate) -> Self {
        Self::Fixed(rate)
    }
}

impl FromStr for Bandwidth {
    type Err = BadBandwidth;

    fn from_str(text: &str) -> Result<Self, BadBandwidth> {
        match text.contains(':') {
            true => text.parse().map(Self::Schedule),
            false => text.parse().map(Self::Fixed).map_err(BadBandwidth::Rate),
        }
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(rate) => write!(f, "{}", entry::exact(*rate)),
            Self::Schedule(schedule) => schedule.fmt(f),
        }
    }
}

impl Schedule {
    fn limit_at(&self, at: Timestamp) -> Option<ByteRate> {
        let Some((local, _)) = self.local(at) else { return self.strictest() };
        let minute = minute_of_week(local);
        self.entries.iter().find(|entry| entry.covers(minute)).and_then(|entry| entry.limit)
    }

    /// The lowest of all limits: what holds where nobody can tell the time of the week.
    fn strictest(&self) -> Option<ByteRate> {
        self.entries.iter().filter_map(|entry| entry.limit).min()
    }

    fn next_edge(&self, after: Timestamp) -> Option<Timestamp> {
        let (local, until) = self.local(after)?;
        let minute = minute_of_week(local);
        let away = self.entries.iter().filter_map(|entry| entry.next_edge(minute)).min();
        let edge = away.map(|minutes| {
            let in_minute = u64::try_from(local.rem_euclid(MINUTE_MS)).unwrap_or_default();
            after.plus(u64::from(minutes) * MINUTE_MS.unsigned_abs() - in_minute)
        });
        edge.into_iter().chain(until.filter(|until| *until > after)).min()
    }

    /// Milliseconds that the zone's clock shows, since it showed the beginning of 1970, and when it is put
    /// forward or back next.
    fn local(&self, at: Timestamp) -> Option<(i64, Option<Timestamp>)> {
        let (offset_seconds, until) = self.zone.offset_at(at)?;
        let local = i64::try_from(at.0).ok()?.checked_add(i64::from(offset_seconds) * 1000)?;
        Some((local, until))
    }

    /// The first two entries that hold at once.
    fn overlap(&self, texts: &[&str]) -> Option<BadBandwidth> {
        let mut taken: Vec<Option<usize>> = vec![None; usize::from(WEEK_MINUTES)];
        for (second, entry) in self.entries.iter().enumerate() {
            for minute in entry.minutes() {
                let taken = &mut taken[usize::from(minute)];
                if let Some(first) = taken {
                    let (day, time) = entry::name_minute(minute);
                    let text = texts.get(second).copied().unwrap_or_default().to_owned();
                    let (first, second) = (*first + 1, second + 1);
                    return Some(BadBandwidth::Overlap { first, second, text, day, time });
                }
                *taken = Some(second);
            }
        }
        None
    }
}

fn minute_of_week(local_ms: i64) -> u16 {
    let minutes = local_ms.div_euclid(MINUTE_MS) + FIRST_DAY * 24 * 60;
    u16::try_from(minutes.rem_euclid(i64::from(WEEK_MINUTES))).unwrap_or_default()
}

impl FromStr for Schedule {
    type Err = BadBandwidth;

    fn from_str(text: &str) -> Result<Self, BadBandwidth> {
        let (entries, zone) = text.split_once(';').unwrap_or((text, "UTC"));
        let zone = zone.trim().parse()?;
        let texts: Vec<&str> = entries.split(',').map(str::trim).collect();
        if texts.len() > SCHEDULE_ENTRIES_MAX {
            return Err(BadBandwidth::TooMany(texts.len()));
        }
        let entries = (1..).zip(&texts).map(|(number, text)| {
            let refuse = |why| BadBandwidth::Entry { number, text: (*text).to_owned(), why };
            text.parse::<Entry>().map_err(refuse)
        });
        let schedule = Self { entries: entries.collect::<Result<_, _>>()?, zone };
        match schedule.overlap(&texts) {
            Some(overlap) => Err(overlap),
            None => Ok(schedule),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, entry) in self.entries.iter().enumerate() {
            write!(f, "{}{entry}", if number == 0 { "" } else { ", " })?;
        }
        write!(f, "; {}", self.zone)
    }
}

#[cfg(test)]
mod tests;
