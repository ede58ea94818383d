//! One direction of a link: a thread that takes packets from one device and asks the model, and one
//! that hands them to the other device when their time has come.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tun_rs::SyncDevice;

use super::gauge::Gauge;
use super::model::{Fate, Model};

/// Packets on the wire at most: more than 1 Gbit/s holds in half a second.
const ON_WIRE_MAX: usize = 1 << 16;

/// Longest packet that a device gives.
const PACKET_MAX: usize = 65_536;

/// How long a thread that had to wait leaves things to gather: a switch for each packet would cost
/// more processor time than the packets, and the two ends need it.
const GATHER: Duration = Duration::from_micros(100);

/// A packet was waited for when taking it took longer than this.
const WAITED_NS: u64 = 10_000;

/// A packet on its way.
struct Flight {
    arrives_at: u64,
    packet: Box<[u8]>,
}

/// The threads of one direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) gauge: Arc<Gauge>,
    threads: Vec<JoinHandle<()>>,
}

impl Pipe {
    /// Begins to carry packets from one device to the other, until they are gone. Each thread says
    /// through `begun` which one it is.
    pub(crate) fn start(
        from: &Arc<SyncDevice>,
        to: &Arc<SyncDevice>,
        model: Model,
        begun: &Sender<Pid>,
    ) -> Self {
        let gauge = Arc::new(Gauge::default());
        let (sender, receiver) = sync_channel(ON_WIRE_MAX);
        let epoch = Instant::now();
        let (device, count, says) = (Arc::clone(from), Arc::clone(&gauge), begun.clone());
        let reader = std::thread::spawn(move || {
            introduce(says);
            read(&device, model, &count, &sender, epoch);
        });
        let (device, count, says) = (Arc::clone(to), Arc::clone(&gauge), begun.clone());
        let writer = std::thread::spawn(move || {
            introduce(says);
            deliver(&device, &count, &receiver, epoch);
        });
        Self { gauge, threads: vec![reader, writer] }
    }

    /// Waits for the threads, which end when the devices are gone.
    pub(crate) fn join(&mut self) {
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// Says which thread this is. The sender goes with it, so that whoever listens knows the last one.
fn introduce(begun: Sender<Pid>) {
    // Nobody listens only when the link is given up already.
    let _ = begun.send(rustix::thread::gettid());
}

fn since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Takes packets until the device is gone.
fn read(
    device: &SyncDevice,
    mut model: Model,
    gauge: &Gauge,
    wire: &SyncSender<Flight>,
    epoch: Instant,
) {
    let mut buffer = vec![0; PACKET_MAX];
    loop {
        let asked_at = since(epoch);
        let Ok(length) = device.recv(&mut buffer) else { return };
        let now = since(epoch);
        gauge.came(length);
        match model.handle(now, length) {
            Fate::Dropped => gauge.dropped(),
            Fate::Lost => gauge.lost(),
            Fate::Arrives(arrives_at) => {
                let flight = Flight { arrives_at, packet: buffer[..length].into() };
                if wire.send(flight).is_err() {
                    return;
                }
            }
        }
        if now - asked_at > WAITED_NS {
            std::thread::sleep(GATHER);
        }
    }
}

/// Hands packets over, each at its time, until no more come.
fn deliver(device: &SyncDevice, gauge: &Gauge, wire: &Receiver<Flight>, epoch: Instant) {
    while let Ok(flight) = wire.recv() {
        let mut now = since(epoch);
        while now < flight.arrives_at {
            std::thread::sleep(GATHER.max(Duration::from_nanos(flight.arrives_at - now)));
            now = since(epoch);
        }
        match device.send(&flight.packet) {
            Ok(_) => gauge.delivered(now - flight.arrives_at),
            Err(_) => gauge.refused(),
        }
    }
}
