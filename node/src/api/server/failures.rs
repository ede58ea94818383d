//! Wrong tokens, counted by address: who sends too many is refused for a while.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::network::party::party;

/// Addresses that are remembered at once.
const ADDRESSES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Count {
    since: Instant,
    failures: u32,
}

/// The wrong tokens of the last while.
#[derive(Debug)]
pub(super) struct Failures {
    counts: BTreeMap<IpAddr, Count>,
    most: u32,
    window: Duration,
}

impl Failures {
    /// None so far; `most` in `window` are let pass.
    pub(super) fn new(most: u32, window: Duration) -> Self {
        Self { counts: BTreeMap::new(), most, window }
    }

    /// How long requests from `address` are still refused; `None` when they are not.
    pub(super) fn blocked(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let count = self.counts.get(&party(address))?;
        let age = now.saturating_duration_since(count.since);
        (count.failures >= self.most && age < self.window).then(|| self.window - age)
    }

    /// Takes note of a wrong token.
    pub(super) fn add(&mut self, address: IpAddr, now: Instant) {
        let window = self.window;
        let is_over = |count: &Count| now.saturating_duration_since(count.since) >= window;
        let address = party(address);
        if self.counts.len() >= ADDRESSES_MAX && !self.counts.contains_key(&address) {
            self.counts.retain(|_, count| !is_over(count));
        }
        if self.counts.len() >= ADDRESSES_MAX && !self.counts.contains_key(&address) {
            let oldest = self.counts.iter().min_by_key(|(_, count)| count.since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.counts.remove(&oldest);
            }
        }
        let count = self.counts.entry(address).or_insert(Count { since: now, failures: 0 });
        if is_over(count) {
            *count = Count { since: now, failures: 0 };
        }
        count.failures = count.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    const WINDOW: Duration = Duration::from_secs(10);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_refused_after_too_many_and_let_in_again_later() {
        let (mut failures, start) = (Failures::new(2, WINDOW), clock::now());
        let peer = ip("192.0.2.1");
        failures.add(peer, start);
        assert_eq!(failures.blocked(peer, start), None);
        failures.add(peer, start + Duration::from_secs(1));
        assert_eq!(failures.blocked(peer, start + Duration::from_secs(4)), Some(WINDOW * 6 / 10));
        assert_eq!(failures.blocked(ip("192.0.2.2"), start), None);
        assert_eq!(failures.blocked(peer, start + WINDOW), None);
        failures.add(peer, start + WINDOW);
        assert_eq!(failures.blocked(peer, start + WINDOW), None);
    }

    #[test]
    fn addresses_of_one_party_count_together() {
        let (mut failures, now) = (Failures::new(2, WINDOW), clock::now());
        failures.add(ip("2001:db8::1"), now);
        failures.add(ip("2001:db8::2"), now);
        assert!(failures.blocked(ip("2001:db8::3"), now).is_some());
        assert!(failures.blocked(ip("2001:db8:0:1::3"), now).is_none());
        failures.add(ip("192.0.2.1"), now);
        failures.add(ip("::ffff:192.0.2.1"), now);
        assert!(failures.blocked(ip("192.0.2.1"), now).is_some());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let (mut failures, now) = (Failures::new(1, WINDOW), clock::now());
        for index in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 1 {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + index);
            failures.add(address.into(), now + Duration::from_millis(index.into()));
        }
        assert_eq!(failures.counts.len(), ADDRESSES_MAX);
        assert!(failures.blocked(ip("10.0.0.0"), now).is_none());
        assert!(failures.blocked(ip("10.0.0.1"), now).is_some());
    }
}
