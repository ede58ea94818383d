//! Budgets: how much a job may read, ask and spend before it stops, and what it has used of that.
//!
//! Prices come with the budget: no list of them is part of the program, where it would be wrong soon.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::JobId;
use crate::time::Timestamp;
use crate::units::ByteCount;

/// Bytes of the unit by which services charge for what leaves them.
const GB: u128 = 1_000_000_000;

/// An amount of whatever currency the prices are in: millionths.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Money(pub u64);

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "'{0}' is no amount of money: write digits, and up to six behind a point, such as 250 or 0.09"
)]
pub struct BadMoney(pub String);

const DECIMALS: usize = 6;
const MILLION: u64 = 1_000_000;

impl FromStr for Money {
    type Err = BadMoney;

    fn from_str(text: &str) -> Result<Self, BadMoney> {
        let bad = || BadMoney(text.to_owned());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_plain =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_plain(whole) || !is_plain(part) || part.len() > DECIMALS {
            return Err(bad());
        }
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let part: u64 = format!("{part:0<DECIMALS$}").parse().map_err(|_| bad())?;
        let sum = whole.checked_mul(MILLION).and_then(|whole| whole.checked_add(part));
        sum.map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:06}", self.0 % MILLION);
        let cents = part.trim_end_matches('0');
        write!(f, "{}.{cents:0<2}", self.0 / MILLION)
    }
}

/// What a store charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Price {
    /// For each GB (10^9 bytes) that leaves it.
    pub egress_per_gb: Money,
    /// For each thousand requests.
    pub requests_per_1000: Money,
}

/// What the stores at the two ends charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prices {
    /// Where objects are read.
    pub source: Price,
    /// Where they go.
    pub target: Price,
}

/// The most that a job may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Budget {
    /// Bytes read at the source and, to compare or read back, at the target.
    pub bytes: Option<u64>,
    /// Requests to stores.
    pub requests: Option<u64>,
    /// What bytes and requests cost, by these prices.
    pub money: Option<(Money, Prices)>,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes read at the source.
    pub source_bytes: u64,
    /// Bytes read at the target.
    pub target_bytes: u64,
    /// Requests to the source's store.
    pub source_requests: u64,
    /// Requests to the target's store.
    pub target_requests: u64,
}

/// What one node has used for a job since it began to count. Each word takes the place of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Which job.
    pub job: JobId,
    /// When it began to count, by its own clock: a count that began later began at nothing.
    pub since: Timestamp,
    /// What was used since.
    pub usage: Usage,
}

impl Usage {
    fn map(self, other: Self, combine: fn(u64, u64) -> u64) -> Self {
        Self {
            source_bytes: combine(self.source_bytes, other.source_bytes),
            target_bytes: combine(self.target_bytes, other.target_bytes),
            source_requests: combine(self.source_requests, other.source_requests),
            target_requests: combine(self.target_requests, other.target_requests),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.map(other, u64::saturating_add)
    }

    /// What came to `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.map(earlier, u64::saturating_sub)
    }

    /// The most of each.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        self.map(other, u64::max)
    }

    /// All bytes.
    pub fn bytes(self) -> u64 {
        self.source_bytes.saturating_add(self.target_bytes)
    }

    /// All requests.
    pub fn requests(self) -> u64 {
        self.source_requests.saturating_add(self.target_requests)
    }

    /// What it costs, rounded up.
    pub fn cost(self, prices: &Prices) -> Money {
        let of = |bytes: u64, requests: u64, price: &Price| {
            let bytes = u128::from(bytes) * u128::from(price.egress_per_gb.0);
            let requests = u128::from(requests) * u128::from(price.requests_per_1000.0);
            bytes.div_ceil(GB) + requests.div_ceil(1000)
        };
        let sum = of(self.source_bytes, self.source_requests, &prices.source)
            + of(self.target_bytes, self.target_requests, &prices.target);
        Money(u64::try_from(sum).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |it: &Price| format!("{}/GB {}/1000", it.egress_per_gb, it.requests_per_1000);
        write!(f, "source {}, target {}", of(&self.source), of(&self.target))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes.map(|bytes| ByteCount(bytes).to_string());
        let requests = self.requests.map(|requests| format!("{requests} requests"));
        let money = self.money.as_ref().map(|(money, prices)| format!("{money} spent ({prices})"));
        let parts: Vec<String> = [bytes, requests, money].into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

impl Budget {
    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What has come to its end, in words; `None` while more can be done. A job that uses just what it may has
    /// done so: what reads more does not begin, by [`Self::shortage`]. Of requests nobody knows beforehand.
    pub fn exhausted(&self, used: Usage) -> Option<String> {
        if let Some(bytes) = self.bytes.filter(|most| used.bytes() > *most) {
            let (used, most) = (ByteCount(used.bytes()), ByteCount(bytes));
            return Some(format!("{used} of the budget of {most} are used"));
        }
        if let Some(most) = self.requests.filter(|most| used.requests() >= *most) {
            return Some(format!("{} of the budget of {most} requests are used", used.requests()));
        }
        let (most, prices) = self.money.as_ref()?;
        let cost = used.cost(prices);
        (cost > *most).then(|| format!("{cost} of the budget of {most} is used"))
    }

    /// What is short, in words, for `bytes` more to be read at both ends; `None` when there is enough.
    pub fn shortage(&self, used: Usage, bytes: u64) -> Option<String> {
        let piece = ByteCount(bytes);
        if let Some(most) = self.bytes
            && most.saturating_sub(used.bytes()) < bytes
        {
            let left = ByteCount(most.saturating_sub(used.bytes()));
            let most = ByteCount(most);
            return Some(format!(
                "{left} of the budget of {most} are left, and the next piece of work reads {piece}"
            ));
        }
        let (most, prices) = self.money.as_ref()?;
        let then = used.plus(Usage { source_bytes: bytes, ..Usage::default() });
        (then.cost(prices) > *most).then(|| {
            let cost = used.cost(prices);
            format!(
                "{cost} of the budget of {most} is used, and the next piece of work, of {piece}, costs more \
                 than what is left"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec;

    const PRICES: Prices = Prices {
        source: Price { egress_per_gb: Money(90_000), requests_per_1000: Money(400) },
        target: Price { egress_per_gb: Money(0), requests_per_1000: Money(5_000) },
    };

    #[test]
    fn money_is_digits_with_up_to_six_behind_the_point() {
        for (text, millionths, printed) in [
            ("0", 0, "0.00"),
            ("250", 250_000_000, "250.00"),
            ("0.09", 90_000, "0.09"),
            ("0.0004", 400, "0.0004"),
            ("1.5", 1_500_000, "1.50"),
            ("0.000001", 1, "0.000001"),
        ] {
            assert_eq!(text.parse(), Ok(Money(millionths)), "{text}");
            assert_eq!(Money(millionths).to_string(), printed);
        }
        for text in
            ["", ".", "1.", ".5", "-1", "1,5", "1e3", "0.0000001", "99999999999999999999", "$5"]
        {
            assert_eq!(text.parse::<Money>(), Err(BadMoney(text.to_owned())));
        }
    }

    #[test]
    fn what_is_used_costs_what_the_prices_say_rounded_up() {
        let used = Usage {
            source_bytes: 1_000_000_000_000,
            target_bytes: 5,
            source_requests: 2_000_000,
            target_requests: 1_000_001,
        };
        // 90.00 for what left, 0.80 and 5.000005 for requests.
        assert_eq!(used.cost(&PRICES), Money(95_800_005));
        assert_eq!(Usage { source_bytes: 1, ..Usage::default() }.cost(&PRICES), Money(1));
        let all = Usage { source_bytes: u64::MAX, source_requests: u64::MAX, ..Usage::default() };
        let dear = Prices {
            source: Price { egress_per_gb: Money(u64::MAX), requests_per_1000: Money(u64::MAX) },
            target: Price::default(),
        };
        assert_eq!(all.cost(&dear), Money(u64::MAX));
    }

    #[test]
    fn a_budget_says_what_has_come_to_its_end() {
        let budget = Budget {
            bytes: Some(100 << 20),
            requests: Some(1000),
            money: Some((Money(1_000_000), PRICES)),
        };
        let used = |source_bytes, source_requests| Usage {
            source_bytes,
            source_requests,
            ..Usage::default()
        };
        assert_eq!(budget.exhausted(used(100 << 20, 999)), None);
        let text = budget.exhausted(used(101 << 20, 0)).unwrap();
        assert_eq!(text, "101.0 MiB of the budget of 100.0 MiB are used");
        assert!(budget.exhausted(used(0, 1000)).unwrap().contains("1000 requests"));
        let dear = Budget { bytes: None, requests: None, ..budget };
        assert_eq!(
            dear.exhausted(used(11_111_111_112, 0)).unwrap(),
            "1.000001 of the budget of 1.00 is used"
        );
        assert_eq!(dear.exhausted(used(11_111_111_111, 0)), None);
        assert_eq!(
            dear.to_string(),
            "1.00 spent (source 0.09/GB 0.0004/1000, target 0.00/GB 0.005/1000)"
        );
        assert_eq!(budget.shortage(used(40 << 20, 0), 60 << 20), None);
        let text = budget.shortage(used(41 << 20, 0), 60 << 20).unwrap();
        assert!(text.starts_with("59.0 MiB of the budget of 100.0 MiB are left"), "{text}");
        assert!(dear.shortage(used(11_000_000_000, 0), 1 << 30).unwrap().contains("0.99 of"));
        assert_eq!(Budget::default().exhausted(used(u64::MAX, u64::MAX)), None);
        assert_eq!(Budget::default().shortage(used(u64::MAX, u64::MAX), 1), None);
    }

    #[test]
    fn budgets_have_the_bytes_they_always_had() {
        let budget = Budget { bytes: Some(5), requests: None, money: Some((Money(1), PRICES)) };
        let golden = [1, 5, 0, 1, 1, 252, 0x90, 0x5f, 1, 0, 251, 0x90, 1, 0, 251, 0x88, 0x13];
        assert_eq!(codec::encode(&budget), golden);
        let usage =
            Usage { source_bytes: 1, target_bytes: 2, source_requests: 3, target_requests: 4 };
        let spent = Spent { job: JobId([9; 16]), since: Timestamp(8), usage };
        let bytes = codec::encode(&spent);
        assert_eq!(bytes[..16], [9; 16]);
        assert_eq!(bytes[16..], [8, 1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn money_prints_as_it_is_read(millionths: u64) {
            let money = Money(millionths);
            prop_assert_eq!(money.to_string().parse(), Ok(money));
        }

        #[test]
        fn more_costs_no_less(one in any::<[u64; 4]>(), more in any::<[u64; 4]>()) {
            let usage = |of: [u64; 4]| Usage {
                source_bytes: of[0], target_bytes: of[1], source_requests: of[2], target_requests: of[3],
            };
            let (one, both) = (usage(one), usage(one).plus(usage(more)));
            prop_assert!(one.cost(&PRICES) <= both.cost(&PRICES));
            prop_assert_eq!(both.since(one).plus(one), both);
            prop_assert_eq!(both.most(one), both);
        }
    }
}
