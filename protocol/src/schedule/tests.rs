//! What schedules mean: tables of what is written and refused, the days on which clocks change, and the
//! laws of edges.

use proptest::prelude::*;

use super::*;
use crate::codec;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Monday, 2026-11-30, 00:00 UTC.
const MONDAY: u64 = 1_795_996_800_000;

fn bandwidth(text: &str) -> Bandwidth {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// MiB a second at `days` and `minutes` after that Monday.
fn limit(of: &Bandwidth, days: u64, (hours, minutes): (u64, u64)) -> Option<u64> {
    let at = Timestamp(MONDAY + days * DAY_MS + hours * HOUR_MS + minutes * 60_000);
    of.limit_at(at).map(|rate| rate.0 >> 20)
}

#[test]
fn an_instant_has_the_limit_of_its_entry_or_none() {
    let week = bandwidth("Mon-Fri 08:00-18:00 200M, Mon-Fri 18:00-08:00 1024M; UTC");
    for (days, time, expected) in [
        (0, (7, 59), None),
        (0, (8, 0), Some(200)),
        (0, (17, 59), Some(200)),
        (0, (18, 0), Some(1024)),
        (1, (7, 59), Some(1024)),
        (1, (8, 0), Some(200)),
        // The night of Friday ends on Saturday.
        (5, (7, 59), Some(1024)),
        (5, (8, 0), None),
        (6, (12, 0), None),
        (7, (0, 0), None),
        (7, (9, 0), Some(200)),
    ] {
        assert_eq!(limit(&week, days, time), expected, "day {days}, {time:?}");
    }
    let example = bandwidth("08:00-18:00 200M, 18:00-08:00 off");
    assert_eq!(limit(&example, 6, (8, 0)), Some(200));
    assert_eq!(limit(&example, 6, (18, 0)), None);
    assert_eq!(limit(&bandwidth("5M"), 3, (3, 3)), Some(5));
}

#[test]
fn a_distance_from_utc_moves_the_day() {
    let east = bandwidth("08:00-18:00 200M; +05:30");
    assert_eq!(limit(&east, 0, (2, 29)), None);
    assert_eq!(limit(&east, 0, (2, 30)), Some(200));
    let west = bandwidth("Mon 00:00-01:00 7M; -08");
    assert_eq!(limit(&west, 0, (8, 0)), Some(7));
    assert_eq!(limit(&west, 0, (9, 0)), None);
}

/// In Berlin, 2026-03-29 has no 02:00 to 03:00, and 2026-10-25 has it twice.
#[test]
fn clocks_that_change_move_no_edge_of_the_day() {
    const MARCH: u64 = 1_774_742_400_000; // 2026-03-29 00:00 UTC
    const OCTOBER: u64 = 1_792_886_400_000; // 2026-10-25 00:00 UTC
    let berlin = bandwidth("08:00-18:00 200M, 02:00-03:00 3M; Europe/Berlin");
    let at = |day: u64, minutes: i64| {
        let at = Timestamp(day.checked_add_signed(minutes * 60_000).unwrap());
        berlin.limit_at(at).map(|rate| rate.0 >> 20)
    };
    // The day before: one hour ahead; that day from 01:00 UTC on: two.
    assert_eq!((at(MARCH, -24 * 60 + 7 * 60 - 1), at(MARCH, -24 * 60 + 7 * 60)), (None, Some(200)));
    assert_eq!((at(MARCH, 6 * 60 - 1), at(MARCH, 6 * 60)), (None, Some(200)));
    assert_eq!((at(MARCH, 16 * 60 - 1), at(MARCH, 16 * 60)), (Some(200), None));
    let of_hour = (0..180).filter(|minute| at(MARCH, *minute) == Some(3)).count();
    assert_eq!(of_hour, 0, "an hour that there is not has no limit");
    let of_hour = (0..180).filter(|minute| at(OCTOBER, *minute) == Some(3)).count();
    assert_eq!(of_hour, 120, "an hour that there is twice has its limit twice");
    assert_eq!((at(OCTOBER, 7 * 60 - 1), at(OCTOBER, 7 * 60)), (None, Some(200)));
    // The change itself is an edge.
    let edge = berlin.next_edge(Timestamp(MARCH + 30 * 60_000));
    assert_eq!(edge, Some(Timestamp(MARCH + HOUR_MS)));
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    for (text, expected) in [
        ("08:00-18:00", "entry 1, '08:00-18:00': write [DAYS] HH:MM-HH:MM RATE"),
        ("08:00-18:00 200M,", "entry 2, '': write [DAYS]"),
        ("08:00-18:00 200M, 20:00-19 1M", "entry 2, '20:00-19 1M': '20:00-19' is no time"),
        ("8:00-18:00 200M", "'8:00-18:00' is no time of the day: write HH:MM-HH:MM"),
        ("08:00-24:01 200M", "'08:00-24:01' is no time"),
        ("08:00-08:60 200M", "'08:00-08:60' is no time"),
        ("08:00-08:00 200M", "a whole day is 00:00-24:00"),
        ("24:00-08:00 200M", "has no beginning or no end"),
        ("Mon-Fry 08:00-18:00 200M", "'Fry' is no day: write Mon, Tue"),
        ("08:00-18:00 fast", "'fast' is not a size"),
        ("08:00-18:00 0", "'0' must be more than 0; or off"),
        ("08:00-18:00 1M 2M 3M", "write [DAYS] HH:MM-HH:MM RATE"),
        ("08:00-18:00 1M; Europe/Atlantis", "'Europe/Atlantis' is no time zone"),
        ("08:00-18:00 1M; +25:00", "'+25:00' is no time zone: write UTC"),
        ("08:00-18:00 1M; UTC; UTC", "'UTC; UTC' is no time zone"),
        (
            "08:00-18:00 1M, 17:30-20:00 2M",
            "entry 2, '17:30-20:00 2M', overlaps entry 1 on Mon at 17:30",
        ),
        ("Sun 22:00-06:00 1M, Mon 05:00-06:00 2M", "overlaps entry 1 on Mon at 05:00"),
        ("fast", "'fast' is not a size: write digits and a unit"),
        ("fast", "or a schedule, such as \"08:00-18:00 200M"),
    ] {
        let error = text.parse::<Bandwidth>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let many = ["00:00-00:01 1M"; SCHEDULE_ENTRIES_MAX + 1].join(",");
    assert_eq!(many.parse::<Bandwidth>(), Err(BadBandwidth::TooMany(SCHEDULE_ENTRIES_MAX + 1)));
}

#[test]
fn bandwidths_print_as_they_are_read() {
    for (text, printed) in [
        ("100M", "100M"),
        ("1500", "1500"),
        ("08:00-18:00 200M,18:00-08:00   off", "08:00-18:00 200M, 18:00-08:00 off; UTC"),
        ("sat-mon 00:00-24:00 1500; europe/berlin", "Mon+Sat-Sun 00:00-24:00 1500; Europe/Berlin"),
        ("Mon+Wed+Fri 00:00-12:00 1G/s; -03", "Mon+Wed+Fri 00:00-12:00 1G; -03:00"),
        ("Mon-Sun 00:00-24:00 2M; +05:30", "00:00-24:00 2M; +05:30"),
    ] {
        assert_eq!(bandwidth(text).to_string(), printed);
        assert_eq!(bandwidth(printed), bandwidth(text));
    }
}

#[test]
fn schedules_have_the_bytes_they_always_had() {
    let text = "Mon-Fri 08:00-18:00 1, Sat 00:00-24:00 off; Europe/Berlin";
    let golden = [
        &[1, 2, 0b1_1111, 251, 224, 1, 251, 56, 4, 1, 1][..], // schedule, entries, days, span, rate
        &[0b10_0000, 0, 251, 160, 5, 0, 1, 13][..],           // days, span, off, named, length
        b"Europe/Berlin",
    ];
    assert_eq!(codec::encode(&bandwidth(text)), golden.concat());
    assert_eq!(codec::encode(&bandwidth("1")), [0, 1]);
}

#[test]
fn a_zone_that_is_not_known_here_has_the_strictest_limit() {
    let Bandwidth::Schedule(schedule) = bandwidth("08:00-09:00 5M, 09:00-24:00 7M") else {
        panic!()
    };
    let zone = Zone::Named("Europe/Atlantis".to_owned());
    let lost = Bandwidth::Schedule(Schedule { zone, ..schedule });
    assert_eq!(limit(&lost, 0, (0, 0)), Some(5));
    assert_eq!(lost.next_edge(Timestamp(MONDAY)), None);
}

fn zones() -> impl Strategy<Value = Zone> {
    let named = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];
    prop_oneof![
        (-720i16..=840).prop_map(Zone::Offset),
        (0..named.len()).prop_map(move |number| Zone::Named(named[number].to_owned())),
    ]
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let entry = (1u8..128, 0u16..1440, 1u16..=1440, proptest::option::of(1u64..9));
    let entry = entry.prop_map(|(days, start, end, limit)| {
        let rate = limit.map_or_else(|| "off".to_owned(), |rate| rate.to_string());
        let (start, end) = if start == end { (0, 1440) } else { (start, end) };
        let days: Vec<&str> = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
            .into_iter()
            .enumerate()
            .filter_map(|(day, name)| (days & (1 << day) != 0).then_some(name))
            .collect();
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let text = format!("{} {}-{} {rate}", days.join("+"), clock(start), clock(end));
        text.parse::<Entry>().expect("it is written as it should be")
    });
    (proptest::collection::vec(entry, 0..4), zones()).prop_map(|(all, zone)| {
        let mut schedule = Schedule { entries: Vec::new(), zone };
        for entry in all {
            schedule.entries.push(entry);
            if schedule.overlap(&[]).is_some() {
                schedule.entries.pop();
            }
        }
        schedule
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn between_two_edges_the_limit_is_one(schedule in schedules(), at in 0u64..(100 * 366 * DAY_MS)) {
        let of = Bandwidth::Schedule(schedule);
        let at = Timestamp(at);
        let end = of.next_edge(at).unwrap_or_else(|| at.plus(3 * DAY_MS));
        prop_assert!(end > at);
        let held = of.limit_at(at);
        let step = (end.since(at) / 50).max(1);
        let mut between = at;
        while between < end {
            prop_assert_eq!(of.limit_at(between), held, "at {:?} of {:?}..{:?}", between, at, end);
            between = between.plus(step);
        }
        prop_assert_eq!(of.limit_at(Timestamp(end.0 - 1)), held);
    }

    #[test]
    fn the_lowest_is_no_more_than_any_between(
        schedule in schedules(), from in 0u64..(100 * 366 * DAY_MS), length in 0u64..DAY_MS, part in 0u64..=1000,
    ) {
        let of = Bandwidth::Schedule(schedule);
        let (from, until) = (Timestamp(from), Timestamp(from + length));
        let lowest = of.lowest(from, until);
        let at = of.limit_at(from.plus(length * part / 1000));
        prop_assert_eq!(lower(lowest, at), lowest);
    }

    #[test]
    fn what_is_printed_is_read_back(schedule in schedules()) {
        prop_assume!(!schedule.entries.is_empty());
        let of = Bandwidth::Schedule(schedule);
        prop_assert_eq!(&bandwidth(&of.to_string()), &of);
        let bytes = codec::encode(&of);
        prop_assert_eq!(codec::decode::<Bandwidth>(&bytes, 4096).unwrap(), of);
    }

    #[test]
    fn whatever_came_over_the_wire_has_a_limit(bytes in proptest::collection::vec(any::<u8>(), 0..64), at: u64) {
        if let Ok(of) = codec::decode::<Bandwidth>(&bytes, 4096) {
            let _ = (of.limit_at(Timestamp(at)), of.next_edge(Timestamp(at)), of.to_string());
        }
    }
}
