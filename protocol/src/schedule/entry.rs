//! One entry of a schedule: on which days, from when until when, how much.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::ByteRate;

/// Minutes of a day and of a week, which begins on Monday.
const DAY_MINUTES: u16 = 24 * 60;
pub(super) const WEEK_MINUTES: u16 = 7 * DAY_MINUTES;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const ALL_DAYS: u8 = 0b0111_1111;

/// A part of a day; one that ends before it begins reaches into the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The minute of the day in which it begins.
    pub start: u16,
    /// The minute after its last one, up to 24:00.
    pub end: u16,
}

/// What holds at some time of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The days on which it begins, one bit each from Monday on.
    days: u8,
    /// When, on these days.
    span: Span,
    /// How much; `None` for everything.
    pub limit: Option<ByteRate>,
}

impl Span {
    /// Minutes that it has, whatever came over the wire.
    fn len(self) -> u16 {
        let (start, end) = (self.start.min(DAY_MINUTES), self.end.min(DAY_MINUTES));
        if end > start { end - start } else { (DAY_MINUTES - start) + end }
    }
}

impl Entry {
    fn days(self) -> impl Iterator<Item = u16> {
        (0..7u16).filter(move |day| self.days & (1 << day) != 0)
    }

    /// Minutes of the week at which it begins.
    fn starts(self) -> impl Iterator<Item = u16> {
        let start = self.span.start.min(DAY_MINUTES);
        self.days().map(move |day| (day * DAY_MINUTES + start) % WEEK_MINUTES)
    }

    /// Minutes of the week that it covers.
    pub(super) fn minutes(self) -> impl Iterator<Item = u16> {
        let len = self.span.len();
        self.starts().flat_map(move |start| (0..len).map(move |at| (start + at) % WEEK_MINUTES))
    }

    /// Whether it holds in this minute of the week.
    pub(super) fn covers(self, minute: u16) -> bool {
        self.starts().any(|start| ahead(start, minute) < self.span.len())
    }

    /// Minutes after this one of the week at which it begins or ends next.
    pub(super) fn next_edge(self, minute: u16) -> Option<u16> {
        let len = self.span.len();
        let edges = self.starts().flat_map(|start| [start, (start + len) % WEEK_MINUTES]);
        let away = |edge| match ahead(minute, edge) {
            0 => WEEK_MINUTES,
            minutes => minutes,
        };
        edges.map(away).min()
    }
}

/// Minutes from one minute of the week on to another.
fn ahead(from: u16, to: u16) -> u16 {
    (to + WEEK_MINUTES - from) % WEEK_MINUTES
}

/// A minute of the week for people.
pub(super) fn name_minute(minute: u16) -> (&'static str, String) {
    let day = DAYS[usize::from(minute / DAY_MINUTES) % DAYS.len()];
    (day, Clock(minute % DAY_MINUTES).to_string())
}

/// A minute of a day.
struct Clock(u16);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

fn parse_clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY_MINUTES).then_some(minute)
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let times = text.split_once('-');
        let times = times.and_then(|(from, to)| Some((parse_clock(from)?, parse_clock(to)?)));
        match times {
            None => Err(format!("'{text}' is no time of the day: write HH:MM-HH:MM, up to 24:00")),
            Some((start, end)) if start == end || start == DAY_MINUTES => {
                Err(format!("'{text}' has no beginning or no end: a whole day is 00:00-24:00"))
            }
            Some((start, end)) => Ok(Self { start, end }),
        }
    }
}

fn parse_day(text: &str) -> Result<u8, String> {
    let found = (0..).zip(DAYS).find(|(_, name)| name.eq_ignore_ascii_case(text));
    let known = || format!("'{text}' is no day: write {}", DAYS.join(", "));
    found.map(|(day, _)| day).ok_or_else(known)
}

/// Days as `Mon`, `Mon-Fri` or `Mon+Wed+Fri`.
fn parse_days(text: &str) -> Result<u8, String> {
    let mut days = 0;
    for part in text.split('+') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (parse_day(first)?, parse_day(last)?);
        let count = (last + 7 - first) % 7;
        (0..=count).for_each(|more| days |= 1 << ((first + more) % 7));
    }
    Ok(days)
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, span, limit) = match words[..] {
            [span, limit] => (ALL_DAYS, span, limit),
            [days, span, limit] => (parse_days(days)?, span, limit),
            _ => {
                return Err(
                    "write [DAYS] HH:MM-HH:MM RATE, such as Mon-Fri 08:00-18:00 200M, with \
                            the rate off for no limit"
                        .to_owned(),
                );
            }
        };
        let span = span.parse()?;
        let limit = match limit {
            "off" => None,
            rate => Some(rate.parse::<ByteRate>().map_err(|error| format!("{error}; or off"))?),
        };
        Ok(Self { days, span, limit })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days & ALL_DAYS != ALL_DAYS {
            write!(f, "{} ", name_days(*self))?;
        }
        write!(f, "{}-{} ", Clock(self.span.start), Clock(self.span.end))?;
        match self.limit {
            None => f.write_str("off"),
            Some(rate) => f.write_str(&exact(rate)),
        }
    }
}

/// Days that follow each other as a range, others one by one.
fn name_days(entry: Entry) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for day in entry.days() {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == day => *last = day,
            _ => runs.push((day, day)),
        }
    }
    let name = |day: u16| DAYS[usize::from(day)];
    let runs = runs.into_iter().map(|(first, last)| match first == last {
        true => name(first).to_owned(),
        false => format!("{}-{}", name(first), name(last)),
    });
    runs.collect::<Vec<_>>().join("+")
}

/// A rate in the largest unit of which it is a whole number, to be read back as it is.
pub(super) fn exact(rate: ByteRate) -> String {
    let units = [("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    let fitting =
        units.into_iter().find(|(_, shift)| rate.0 > 0 && rate.0.is_multiple_of(1 << shift));
    fitting.map_or_else(|| rate.0.to_string(), |(unit, shift)| format!("{}{unit}", rate.0 >> shift))
}
