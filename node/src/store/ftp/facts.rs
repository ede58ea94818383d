//! What a server says of a file in a machine's form (RFC 3659): facts, a blank, and its name.

/// What is known of one file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) kind: FactKind,
    pub(super) size: Option<u64>,
    /// Nanoseconds since 1970.
    pub(super) mtime_ns: Option<i64>,
}

/// What a server calls a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FactKind {
    File,
    Directory,
    /// The listed directory itself, or the one above it.
    Around,
    /// A link, or whatever else a system has.
    Other,
}

/// Reads a line of a listing or a description; `None` when it has no form of that kind.
pub(super) fn parse(line: &[u8]) -> Option<(Facts, &[u8])> {
    let blank = line.iter().position(|&byte| byte == b' ')?;
    let (facts, name) = (std::str::from_utf8(&line[..blank]).ok()?, &line[blank + 1..]);
    let mut found = Facts { kind: FactKind::Other, size: None, mtime_ns: None };
    let mut has_type = false;
    for fact in facts.split(';').filter(|fact| !fact.is_empty()) {
        let (of, value) = fact.split_once('=')?;
        match of.to_ascii_lowercase().as_str() {
            "type" => {
                has_type = true;
                found.kind = match value.to_ascii_lowercase().as_str() {
                    "file" => FactKind::File,
                    "dir" => FactKind::Directory,
                    "cdir" | "pdir" => FactKind::Around,
                    _ => FactKind::Other,
                };
            }
            "size" => found.size = Some(value.parse().ok()?),
            "modify" => found.mtime_ns = Some(parse_time(value)?),
            _ => {}
        }
    }
    (has_type && !name.is_empty()).then_some((found, name))
}

/// Nanoseconds since 1970 of `YYYYMMDDHHMMSS`, which is UTC, and may have decimals.
fn parse_time(text: &str) -> Option<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !is_digits(whole) || !is_digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let number = |range: std::ops::Range<usize>| whole[range].parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(8..10)?, number(10..12)?, number(12..14)?);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let nanoseconds = format!("{decimals:0<9}").parse::<i64>().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// Days from the first of January 1970 on, in the calendar that holds since 1582. Years are counted from
/// March, so that the day of a leap year is the last one of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_facts_and_a_name_byte_for_byte() {
        let line = b"Type=file;Size=1024;Modify=20231114221320;perm=r;  two blanks ";
        let (facts, name) = parse(line).unwrap();
        let mtime_ns = Some(1_700_000_000_000_000_000);
        assert_eq!(facts, Facts { kind: FactKind::File, size: Some(1024), mtime_ns });
        assert_eq!(name, b" two blanks ");
        let (facts, name) = parse(b"type=OS.unix=slink:/x; \xff").unwrap();
        assert_eq!((facts.kind, name), (FactKind::Other, &b"\xff"[..]));
        assert_eq!(parse(b"type=cdir; .").unwrap().0.kind, FactKind::Around);
        for line in [&b""[..], b"x", b"size=1; x", b"type=file;size=x; x", b"type=file; ", b"a b"] {
            assert_eq!(parse(line), None, "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(parse(b"type=file;modify=2023; x"), None);
    }

    #[test]
    fn times_are_read_with_their_decimals() {
        for (text, expected) in [
            ("19700101000000", Some(0)),
            ("19691231235959.5", Some(-500_000_000)),
            ("20000229000000", Some(951_782_400_000_000_000)),
            ("20231114221320.000000001", Some(1_700_000_000_000_000_001)),
            ("20231314221320", None),
            ("2023111422132x", None),
            ("20231114221320.1234567891", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }
}
