//! Spans of time as they are written on the command line.

use std::time::Duration;

/// Reads a whole number with a unit: `90s`, `30m`, `1h`, `7d`.
///
/// # Errors
/// When it is something else: what to write.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "write a whole number with a unit: 90s, 30m, 1h or 7d".to_owned();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let seconds: u64 = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: Option<u64> = digits.parse().ok();
    match number.and_then(|number| number.checked_mul(seconds)) {
        Some(0) => Err("no time at all is too little".to_owned()),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(format!("'{text}' is too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604_800)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn anything_else_is_refused_with_advice() {
        for text in ["", "h", "90", "1.5h", "-1h", "1 h", "1h30m", "1H", "1w", "٣h"] {
            assert!(parse(text).unwrap_err().starts_with("write a whole number"), "{text}");
        }
        assert!(parse("0s").is_err());
        assert!(parse("99999999999999999999d").unwrap_err().ends_with("is too long"));
        assert!(parse("18446744073709551615d").unwrap_err().ends_with("is too long"));
    }
}
