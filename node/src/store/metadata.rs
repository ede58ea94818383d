//! How metadata is written where only ASCII can stand: times, and values of any text.
//!
//! A value that is not ASCII (or that has blanks at its ends, or looks encoded itself) is written as
//! an encoded-word of RFC 2047, `=?UTF-8?B?…?=`, which other programs read too.

use data_encoding::BASE64;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// A time as metadata has it: seconds and nine decimals since 1970.
pub(super) fn format_mtime(mtime_ns: i64) -> String {
    let sign = if mtime_ns < 0 { "-" } else { "" };
    let ns = mtime_ns.unsigned_abs();
    format!("{sign}{}.{:09}", ns / NS_PER_SECOND, ns % NS_PER_SECOND)
}

/// The time that such a text says; `None` when it is none.
pub(super) fn parse_mtime(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1_i128, digits),
        None => (1, text),
    };
    let (seconds, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(decimals) || decimals.len() > 9 {
        return None;
    }
    let seconds: i128 = seconds.parse().ok()?;
    let nanoseconds: i128 = format!("{decimals:0<9}").parse().ok()?;
    let total = seconds.checked_mul(i128::from(NS_PER_SECOND))?.checked_add(nanoseconds)?;
    i64::try_from(sign * total).ok()
}

/// `value` as a header can carry it: as it is, or as an encoded-word of RFC 2047.
pub(super) fn encode(value: &str) -> String {
    let is_plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && value.trim() == value
        && !value.contains("=?");
    if is_plain {
        return value.to_owned();
    }
    format!("=?UTF-8?B?{}?=", BASE64.encode(value.as_bytes()))
}

/// The text of a value that consists of encoded-words; `None` when it does not.
pub(super) fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    for word in value.split_ascii_whitespace() {
        let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
        let mut fields = inner.splitn(3, '?');
        let (charset, encoding, text) = (fields.next()?, fields.next()?, fields.next()?);
        if !charset.eq_ignore_ascii_case("utf-8") {
            return None;
        }
        match encoding {
            "B" | "b" => bytes.extend(BASE64.decode(text.as_bytes()).ok()?),
            "Q" | "q" => bytes.extend(decode_q(text)?),
            _ => return None,
        }
    }
    if value.is_empty() {
        return None;
    }
    String::from_utf8(bytes).ok()
}

fn decode_q(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'_' => decoded.push(b' '),
            b'=' => {
                let digits = [bytes.next()?, bytes.next()?];
                decoded.extend(data_encoding::HEXUPPER_PERMISSIVE.decode(&digits).ok()?);
            }
            byte => decoded.push(byte),
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_of_other_programs_are_understood() {
        assert_eq!(decode("=?utf-8?Q?caf=C3=A9_x?=").as_deref(), Some("café x"));
        assert_eq!(decode("=?UTF-8?B?w4Q=?= =?UTF-8?B?w5Y=?=").as_deref(), Some("ÄÖ"));
        for raw in ["plain", "", "=?latin1?Q?x?=", "=?UTF-8?B?*?=", "=?UTF-8?B?/w==?="] {
            assert_eq!(decode(raw), None, "{raw}");
        }
    }

    #[test]
    fn times_that_are_none_are_refused() {
        for text in ["", ".", ".5", "x", "1.x", "--1", "1.0000000001", "99999999999999"] {
            assert_eq!(parse_mtime(text), None, "{text}");
        }
        assert_eq!(parse_mtime("-1.5"), Some(-1_500_000_000));
    }

    proptest! {
        #[test]
        fn any_time_comes_back(ns in any::<i64>()) {
            prop_assert_eq!(parse_mtime(&format_mtime(ns)), Some(ns));
        }

        #[test]
        fn any_value_comes_back(value in "\\PC*") {
            let encoded = encode(&value);
            prop_assert!(encoded.is_ascii());
            prop_assert_eq!(decode(&encoded).unwrap_or(encoded), value);
        }
    }
}
