//! Congestion control of the data plane: a window from what the path was measured to carry.
//!
//! ```text
//!            full pipe            drained           every second or so
//!  Startup ────────────▶ Drain ───────────▶ Cruise ◀───────────────────┐
//!     ▲                                       │  │                      │
//!     │ persistent congestion                 │  └─ Up ──▶ Down ────────┤
//!     └───────── (from anywhere)              └──── Remeasure ──────────┘
//! ```
//!
//! Loss alone is no sign of congestion here: a path may lose packets at random. What counts is the
//! delivery rate, the round trip without a queue, and loss that comes together with a queue.
//! The ideas are those of BBR version 3 (draft-ietf-ccwg-bbr); since quinn paces by window and
//! smoothed round trip, everything is said by the window.
//!
//! This never asks for the time, never draws a random number, and never looks at what is sent.

mod ceiling;
mod contention;
mod filter;
mod machine;
mod path;
mod phase;
mod rate;
mod round;
mod stale;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory};

use self::machine::Machine;

/// Makes a controller for every path of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MeasuredFactory;

impl ControllerFactory for MeasuredFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Measured { machine: Machine::new(now, current_mtu) })
    }
}

/// Puts the machine behind quinn's trait.
#[derive(Clone, Debug)]
struct Measured {
    machine: Machine,
}

impl Controller for Measured {
    fn on_sent(&mut self, now: Instant, _bytes: u64, _last_packet_number: u64) {
        self.machine.handle_sent(now);
    }

    fn on_ack(
        &mut self,
        _now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.machine.handle_acknowledged(sent, bytes, rtt.get());
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        self.machine.handle_batch_end(now, in_flight, app_limited);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        if is_persistent_congestion {
            self.machine.handle_outage(now);
        } else if lost_bytes == 0 {
            self.machine.handle_marked();
        } else {
            self.machine.handle_lost(now, sent, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.machine.handle_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        self.machine.window_bytes()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.machine.initial_bytes()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
