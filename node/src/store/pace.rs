//! How hard stores are worked: a gate for the reads and one for the writes of each bucket, which all
//! jobs of the process pass that have to do with it; and where a service counts by prefix, one for each of
//! some prefixes.
//!
//! A store asks for its gates by the name of the place that it talks to, and lets every request pass
//! one of them. It knows nothing of limits for the rest, and the gates know nothing of the store.

mod control;
mod gate;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::gate::{Gate, GateFigures, Setback};
use super::skew::Skew;

/// Requests of a kind that a bucket has at once at most, when nothing else is said.
pub const REQUESTS_MAX_DEFAULT: usize = 256;

/// Places that are remembered although no store talks to them.
const IDLE_PLACES_MAX: usize = 64;

/// Prefixes of a bucket that have gates of their own; what is asked of others passes those of the bucket.
const PREFIXES_MAX: usize = 16;

/// The gates of one place: what one server keeps under one name, or a prefix of that.
#[derive(Debug)]
pub struct Pace {
    /// What reads, lists or describes.
    pub reads: Gate,
    /// What changes something.
    pub writes: Gate,
    /// The clock of the server beside ours.
    skew: Skew,
    /// Gates of prefixes, by the prefix, with the name of each.
    prefixes: Mutex<BTreeMap<String, (String, Arc<Self>)>>,
}

impl Pace {
    fn new(place: &str, requests_max: usize) -> Self {
        let gate = |kind| Gate::new(format!("{kind} of {place}"), requests_max);
        let (reads, writes) = (gate("reads"), gate("writes"));
        Self { reads, writes, skew: Skew::default(), prefixes: Mutex::default() }
    }

    /// What is known of the server's clock.
    pub fn skew(&self) -> Skew {
        self.skew.clone()
    }

    /// The gates of `prefix`, of which `name` says where it is. No more requests than the place may have are
    /// on their way through those of all its prefixes. When there are many, a further one passes the gates of
    /// the whole place.
    pub fn of_prefix(self: &Arc<Self>, prefix: &str, name: impl FnOnce() -> String) -> Arc<Self> {
        let mut prefixes = self.prefixes();
        if let Some((_, pace)) = prefixes.get(prefix) {
            return Arc::clone(pace);
        }
        if prefixes.len() >= PREFIXES_MAX {
            return Arc::clone(self);
        }
        let name = name();
        let gate = |kind, whole: &Gate| whole.part(format!("{kind} of {name}"));
        let pace = Arc::new(Self {
            reads: gate("reads", &self.reads),
            writes: gate("writes", &self.writes),
            skew: self.skew.clone(),
            prefixes: Mutex::default(),
        });
        prefixes.insert(prefix.to_owned(), (name, Arc::clone(&pace)));
        pace
    }

    /// Whether `gate` is one of the two.
    pub fn owns(&self, gate: &Gate) -> bool {
        std::ptr::eq(&self.reads, gate) || std::ptr::eq(&self.writes, gate)
    }

    /// The prefix of which `gate` is one.
    pub fn prefix_with(&self, gate: &Gate) -> Option<Arc<Self>> {
        let prefixes = self.prefixes();
        let mut paces = prefixes.values().map(|(_, pace)| pace);
        paces.find(|pace| pace.owns(gate)).map(Arc::clone)
    }

    fn prefixes(&self) -> MutexGuard<'_, BTreeMap<String, (String, Arc<Self>)>> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gates of all places. Clones share them.
#[derive(Clone, Debug)]
pub struct Paces {
    requests_max: usize,
    places: Arc<Mutex<BTreeMap<String, Arc<Pace>>>>,
}

impl Default for Paces {
    fn default() -> Self {
        Self::new(REQUESTS_MAX_DEFAULT)
    }
}

impl PartialEq for Paces {
    fn eq(&self, other: &Self) -> bool {
        self.requests_max == other.requests_max
    }
}

impl Eq for Paces {}

impl Paces {
    /// Gates for at most `requests_max` reads and as many writes at once, at each place.
    pub fn new(requests_max: usize) -> Self {
        Self { requests_max, places: Arc::default() }
    }

    /// Requests of a kind that may be on their way to a place at once.
    pub fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// The gates of `place`, such as `http://127.0.0.1:9000/bucket`.
    pub fn of(&self, place: &str) -> Arc<Pace> {
        let mut places = self.lock();
        if places.len() >= IDLE_PLACES_MAX {
            places.retain(|_, pace| Arc::strong_count(pace) > 1);
        }
        let pace = places
            .entry(place.to_owned())
            .or_insert_with(|| Arc::new(Pace::new(place, self.requests_max)));
        if Arc::strong_count(pace) == 1 {
            // Nobody works there: what comes now may have to do with other prefixes.
            pace.prefixes().clear();
        }
        Arc::clone(pace)
    }

    /// The gates of `place`, which may be a prefix of another, if they are known.
    pub fn find(&self, place: &str) -> Option<Arc<Pace>> {
        let places = self.lock();
        if let Some(pace) = places.get(place) {
            return Some(Arc::clone(pace));
        }
        places.values().find_map(|pace| {
            let prefixes = pace.prefixes();
            let of_name = prefixes.values().find(|(name, _)| name == place);
            of_name.map(|(_, pace)| Arc::clone(pace))
        })
    }

    /// All places and their prefixes, with their gates.
    pub fn places(&self) -> Vec<(String, Arc<Pace>)> {
        let mut all = Vec::new();
        for (place, pace) in &*self.lock() {
            all.push((place.clone(), Arc::clone(pace)));
            all.extend(pace.prefixes().values().cloned());
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Pace>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use airlift_protocol::error::ErrorCode;
    use futures::future::join_all;

    use super::*;
    use crate::store::StoreError;

    #[test]
    fn whoever_talks_to_the_same_place_passes_the_same_gates() {
        let paces = Paces::new(7);
        let clone = paces.clone();
        let (one, again) = (paces.of("http://a/x"), clone.of("http://a/x"));
        assert!(Arc::ptr_eq(&one, &again));
        assert!(!Arc::ptr_eq(&one, &paces.of("http://a/y")));
        assert_eq!(one.reads.figures().limit, 7);
        for number in 0..1000 {
            let _ = paces.of(&format!("http://a/{number}"));
        }
        assert!(paces.places().len() <= IDLE_PLACES_MAX);
        assert!(Arc::ptr_eq(&one, &paces.of("http://a/x")), "it is in use");
    }

    #[test]
    fn a_prefix_has_gates_of_its_own_while_somebody_works_there() {
        let paces = Paces::new(7);
        let whole = paces.of("s3://x");
        let prefix =
            |number: usize| whole.of_prefix(&format!("{number}/"), || format!("s3://x/{number}/"));
        let first = prefix(0);
        assert!(Arc::ptr_eq(&first, &prefix(0)) && !Arc::ptr_eq(&first, &whole));
        assert!(whole.owns(&whole.writes) && !whole.owns(&first.writes));
        let with = whole.prefix_with(&first.writes).unwrap();
        assert!(Arc::ptr_eq(&first, &with) && whole.prefix_with(&whole.writes).is_none());
        let found = paces.find("s3://x/0/").unwrap();
        assert!(Arc::ptr_eq(&first, &found));
        for number in 1..PREFIXES_MAX {
            assert!(!Arc::ptr_eq(&prefix(number), &whole), "{number}");
        }
        assert!(Arc::ptr_eq(&prefix(PREFIXES_MAX), &whole));
        let names: Vec<String> = paces.places().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 1 + PREFIXES_MAX);
        assert!(names.contains(&"s3://x".to_owned()) && names.contains(&"s3://x/3/".to_owned()));
        drop((whole, first, found, with));
        let whole = paces.of("s3://x");
        assert_eq!(paces.places().len(), 1);
        assert!(!Arc::ptr_eq(&whole.of_prefix("other/", String::new), &whole));
    }

    #[tokio::test(start_paused = true)]
    async fn a_prefix_that_is_refused_holds_up_no_other_and_all_share_what_may_be_at_once() {
        const LATENCY: Duration = Duration::from_millis(20);
        let whole = Paces::new(20).of("s3://x");
        let of = |prefix: &str| whole.of_prefix(prefix, || format!("s3://x/{prefix}"));
        let (busy, idle) = (of("busy/"), of("idle/"));
        let answer = || async {
            assert!(whole.reads.on_their_way() <= 20);
            tokio::time::sleep(LATENCY).await;
            Ok::<_, StoreError>(())
        };
        let both =
            [&busy, &idle].map(|pace| join_all((0..100).map(|_| pace.reads.pass(0, answer()))));
        join_all(both).await;
        let refused = async { Err::<(), _>(StoreError::new(ErrorCode::Throttled, "less")) };
        assert!(busy.reads.pass(0, refused).await.is_err());
        assert!(busy.reads.figures().per_second.is_some());
        assert_eq!(idle.reads.figures().per_second, None);
        assert_eq!(whole.reads.figures().per_second, None);
        join_all((0..100).map(|_| busy.reads.pass(0, answer()))).await;
        assert!(busy.reads.spared() > Duration::ZERO);
        assert_eq!((idle.reads.spared(), whole.reads.spared()), (Duration::ZERO, Duration::ZERO));
    }
}
