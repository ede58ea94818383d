//! A timer for quinn that is exact to a tenth of a millisecond.
//!
//! quinn sends bursts of two milliseconds and sleeps between them. The runtime's timer rounds up to
//! whole milliseconds, so that a burst came late by half its length, and a fast path over a long way
//! carried half of what it could. This never does anything but wake.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use quinn::AsyncTimer;
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::runtime::clock;

/// The shortest time that arms a timer: none at all would disarm it.
const SOON: Duration = Duration::from_nanos(1);

/// The timer.
#[derive(Debug)]
pub(super) struct FineTimer {
    timer: AsyncFd<OwnedFd>,
    /// When it is over.
    at: Instant,
}

impl FineTimer {
    #[expect(
        deprecated,
        reason = "its successor is unsafe and wants a descriptor that stays the same: an `OwnedFd` does"
    )]
    pub(super) fn new(at: Instant) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
        let timer = Self { timer, at };
        timer.arm()?;
        Ok(timer)
    }

    fn arm(&self) -> io::Result<()> {
        let left = self.at.saturating_duration_since(clock::now().into_std()).max(SOON);
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec::try_from(left).map_err(io::Error::other)?,
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl AsyncTimer for FineTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.at = at;
        if let Err(error) = self.arm() {
            // A time that is too far away to be told: what it is for never comes either.
            tracing::debug!(%error, "a timer is not set");
        }
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let Poll::Ready(ready) = self.timer.poll_read_ready(context) else {
                return Poll::Pending;
            };
            // Without a reactor nothing is driven any more: that it is over does no harm.
            let Ok(mut ready) = ready else { return Poll::Ready(()) };
            match read(self.timer.get_ref(), &mut [0; 8]) {
                Ok(_) => return Poll::Ready(()),
                Err(Errno::AGAIN | Errno::INTR) => ready.clear_ready(),
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn over(timer: &mut Pin<Box<FineTimer>>) {
        poll_fn(|context| timer.as_mut().poll(context)).await;
    }

    #[tokio::test]
    async fn a_timer_is_over_at_its_time_and_can_be_set_again() {
        let begun = clock::now().into_std();
        let pause = Duration::from_millis(5);
        let mut timer = Box::pin(FineTimer::new(begun + pause).unwrap());
        over(&mut timer).await;
        assert!(clock::now().into_std() >= begun + pause);
        // To an earlier time than it was set to, and to one that has passed.
        timer.as_mut().reset(begun + Duration::from_secs(3600));
        timer.as_mut().reset(clock::now().into_std() + pause);
        over(&mut timer).await;
        timer.as_mut().reset(begun);
        over(&mut timer).await;
    }
}
