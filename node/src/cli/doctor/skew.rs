//! Whether the clock of a service is that of this machine.

use std::time::Duration;

use reqwest::header::DATE;
use reqwest::redirect::Policy;

use super::Check;
use crate::store::skew::{ahead_ms, words};

const NAME: &str = "clock of a store";

/// Time for an answer, whatever it says: its date is all that is wanted.
const WAIT: Duration = Duration::from_secs(5);

/// From so much on, somebody should look at the clocks; from the other on, requests are refused.
const WARN_MS: u64 = 60_000;
const REFUSED_MS: u64 = 15 * 60_000;

/// A complaint about the clock of the service at `url`, if there is reason for one.
pub(super) async fn check(store: &str, url: &str) -> Option<Check> {
    judge(store, measure(url).await?)
}

async fn measure(url: &str) -> Option<i64> {
    let client = reqwest::Client::builder().redirect(Policy::none()).timeout(WAIT).build().ok()?;
    let answer = client.get(url).send().await.ok()?;
    ahead_ms(answer.headers().get(DATE)?.to_str().ok()?)
}

fn judge(store: &str, ahead_ms: i64) -> Option<Check> {
    let found = || format!("{store}: it is {}", words(ahead_ms));
    match ahead_ms.unsigned_abs() {
        0..WARN_MS => None,
        WARN_MS..REFUSED_MS => {
            Some(Check::warn(NAME, found(), "set the clock of this machine by NTP"))
        }
        _ => {
            let advice = "set the clock of this machine by NTP: what is signed 15 minutes off may be refused";
            Some(Check::warn(NAME, found(), advice))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_complained_about_when_it_matters() {
        assert_eq!(judge("x", -20_000), None);
        let check = judge("x", 120_000).unwrap();
        assert_eq!(check.found, "x: it is 2 minutes ahead of this machine's");
        let check = judge("x", -3_600_000).unwrap();
        assert!(check.advice.unwrap().contains("15 minutes"));
    }
}
