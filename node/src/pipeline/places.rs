//! A number of places that changes: a semaphore that can become narrower while it is in use.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Places, each taken by one at a time, in order of arrival.
#[derive(Debug)]
pub struct Places {
    semaphore: Semaphore,
    counts: Mutex<Counts>,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    wanted: usize,
    /// Those that are wanted no more last as long as they are taken.
    present: usize,
}

/// A place, until it is dropped.
#[must_use = "what is dropped at once is free again"]
#[derive(Debug)]
pub struct Place<'a> {
    places: &'a Places,
    permit: Option<SemaphorePermit<'a>>,
}

impl Places {
    /// So many places, all free.
    pub fn new(count: usize) -> Self {
        let counts = Counts { wanted: count, present: count };
        Self { semaphore: Semaphore::new(count), counts: Mutex::new(counts) }
    }

    /// Waits for a place.
    pub async fn take(&self) -> Place<'_> {
        let permit = self.semaphore.acquire().await;
        let permit = permit.expect("invariant: the semaphore is never closed");
        Place { places: self, permit: Some(permit) }
    }

    /// So many places from now on. Nobody is driven from one.
    pub fn set(&self, count: usize) {
        let mut counts = self.lock();
        counts.wanted = count;
        if count > counts.present {
            self.semaphore.add_permits(count - counts.present);
            counts.present = count;
        } else if count < counts.present {
            counts.present -= self.semaphore.forget_permits(counts.present - count);
        }
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        let counts = self.lock();
        counts.present.saturating_sub(self.semaphore.available_permits())
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut counts = self.places.lock();
        if counts.present > counts.wanted
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            counts.present -= 1;
        }
        // Given back while the counts stand still.
        self.permit = None;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn places_come_at_once_and_go_when_they_are_free() {
        let places = Places::new(2);
        let (first, second) = (places.take().await, places.take().await);
        assert!(places.take().now_or_never().is_none());
        places.set(3);
        let third = places.take().now_or_never().expect("a third one");
        places.set(1);
        assert_eq!(places.taken(), 3, "nobody is driven away");
        drop((first, second));
        assert_eq!(places.taken(), 1);
        assert!(places.take().now_or_never().is_none());
        drop(third);
        assert_eq!(places.taken(), 0);
        let only = places.take().now_or_never().expect("the last one");
        assert!(places.take().now_or_never().is_none());
        drop(only);
        places.set(4);
        places.set(2);
        let both = [places.take().await, places.take().await];
        assert!(places.take().now_or_never().is_none());
        drop(both);
        assert_eq!(places.taken(), 0);
    }
}
