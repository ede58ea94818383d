//! Quantities as people write them: rates, times, shares, sizes.

use std::time::Duration;

/// Bits a second, from `500M` or `1G`.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let rate = scaled(text, &[("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)]);
    let rate = rate.filter(|rate| (1_000.0..=1e12).contains(rate));
    rate.map(|rate| rate as u64).ok_or_else(|| format!("'{text}' is no rate, such as 500M"))
}

/// A time, from `40ms` or `1.5s`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let seconds = scaled(text, &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]);
    let seconds = seconds.filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("'{text}' is no time, such as 40ms"))
}

/// A share of one, from `0.1%` or `0.001`.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let share = scaled(text, &[("%", 0.01), ("", 1.0)]);
    let share = share.filter(|share| (0.0..=0.9).contains(share));
    share.ok_or_else(|| format!("'{text}' is no share, such as 0.1%"))
}

/// A number with one of the endings, the first that fits.
fn scaled(text: &str, endings: &[(&str, f64)]) -> Option<f64> {
    endings.iter().find_map(|(ending, factor)| {
        let number = text.strip_suffix(ending)?.parse::<f64>().ok()?;
        number.is_finite().then_some(number * factor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        assert_eq!(parse_rate("500M"), Ok(500_000_000));
        assert_eq!(parse_rate("1.5G"), Ok(1_500_000_000));
        assert_eq!(parse_time("40ms"), Ok(Duration::from_millis(40)));
        assert_eq!(parse_time("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_share("1%"), Ok(0.01));
        assert_eq!(parse_share("0.25"), Ok(0.25));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "M", "-5M", "0", "5X", "infM"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        for text in ["40", "ms", "-1s", "NaNs", "2h"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        for text in ["%", "95%", "-1%", "x"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }
}
