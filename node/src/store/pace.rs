//! How hard stores are worked: a gate for the reads and one for the writes of each bucket, which all
//! jobs of the process pass that have to do with it.
//!
//! A store asks for its gates by the name of the place that it talks to, and lets every request pass
//! one of them. It knows nothing of limits for the rest, and the gates know nothing of the store.

mod control;
mod gate;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use self::gate::{Gate, GateFigures, Setback};
use super::skew::Skew;

/// Requests of a kind that a bucket has at once at most, when nothing else is said.
pub const REQUESTS_MAX_DEFAULT: usize = 256;

/// Places that are remembered although no store talks to them.
const IDLE_PLACES_MAX: usize = 64;

/// The gates of one place: what one server keeps under one name.
#[derive(Debug)]
pub struct Pace {
    /// What reads, lists or describes.
    pub reads: Gate,
    /// What changes something.
    pub writes: Gate,
    /// The clock of the server beside ours.
    skew: Skew,
}

impl Pace {
    /// What is known of the server's clock.
    pub fn skew(&self) -> Skew {
        self.skew.clone()
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
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= IDLE_PLACES_MAX {
            places.retain(|_, pace| Arc::strong_count(pace) > 1);
        }
        let pace = places.entry(place.to_owned()).or_insert_with(|| {
            let gate = |kind| Gate::new(format!("{kind} of {place}"), self.requests_max);
            let (reads, writes) = (gate("reads"), gate("writes"));
            Arc::new(Pace { reads, writes, skew: Skew::default() })
        });
        Arc::clone(pace)
    }

    /// The gates of `place`, if it is known.
    pub fn find(&self, place: &str) -> Option<Arc<Pace>> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(place).map(Arc::clone)
    }

    /// All places, with their gates.
    pub fn places(&self) -> Vec<(String, Arc<Pace>)> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().map(|(place, pace)| (place.clone(), Arc::clone(pace))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
