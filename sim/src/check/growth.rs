//! What nodes hold does not grow with time: a life of many hours holds no more in its second half than
//! in its first, however many jobs it has done, nodes it has lost, and terms it has seen.

use std::collections::BTreeMap;

use super::{Found, broken};

/// Part of a life, in a hundred, that does not count: the cluster forms, and jobs run for the first time.
const BEGINNING_PERCENT: u64 = 10;

/// How much more may be chance: by so many per cent, and so much.
const MORE_PERCENT: u64 = 50;
const MORE: u64 = 8;

/// The most that any node held of each thing, look by look.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    looks: BTreeMap<&'static str, Vec<u64>>,
}

impl Growth {
    /// Takes note of what nodes hold now: of each thing what the one with most of it has.
    pub(crate) fn look(&mut self, held: impl IntoIterator<Item = (&'static str, u64)>) {
        let mut most: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (what, value) in held {
            let most = most.entry(what).or_default();
            *most = (*most).max(value);
        }
        for (what, value) in most {
            self.looks.entry(what).or_default().push(value);
        }
    }

    /// The most of each thing.
    pub(crate) fn most(&self) -> BTreeMap<&'static str, u64> {
        let most = |values: &[u64]| values.iter().copied().max().unwrap_or(0);
        self.looks.iter().map(|(what, values)| (*what, most(values))).collect()
    }

    /// Compares the two halves.
    pub(crate) fn at_end(&self) -> Found {
        for (what, values) in &self.looks {
            let begin = values.len() * BEGINNING_PERCENT as usize / 100;
            let (earlier, later) = values[begin..].split_at((values.len() - begin) / 2);
            let [earlier, later] =
                [earlier, later].map(|half| half.iter().copied().max().unwrap_or(0));
            if later > earlier * (100 + MORE_PERCENT) / 100 + MORE {
                let text = format!("{what}: {earlier} in the first half, {later} in the second");
                return broken("what a node holds does not grow", text, vec![]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(value: impl Fn(u64) -> u64) -> Found {
        let mut growth = Growth::default();
        (0..100).for_each(|at| growth.look([("entries", 1), ("entries", value(at))]));
        growth.at_end()
    }

    #[test]
    fn what_grows_is_found_and_what_has_come_to_its_size_is_not() {
        assert!(grown(|at| 100 + 3 * at).is_err());
        assert!(grown(|at| 100 + at % 40).is_ok());
        assert!(grown(|at| 10 * at.min(9)).is_ok(), "it grew at the beginning only");
    }
}
