//! One direction of a link: a thread that takes packets from one device and asks the model, and one
//! that hands them to the other device when their time has come.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tun_rs::{GROTable, IDEAL_BATCH_SIZE, SyncDevice, VIRTIO_NET_HDR_LEN};

use super::gauge::Gauge;
use super::model::{Fate, Model};

/// Packets on the wire at most: more than 1 Gbit/s holds in half a second.
const ON_WIRE_MAX: usize = 1 << 16;

/// What a device hands over at once: packets that the system has not cut yet, as for a network card.
const BURST_MAX: usize = VIRTIO_NET_HDR_LEN + 65_535;

/// Longest packet, the MTU of the devices.
const PACKET_MAX: usize = 1_500;

/// How long a thread that had to wait leaves things to gather: a switch for each packet would cost
/// more processor time than the packets, and the two ends need it.
const GATHER: Duration = Duration::from_micros(100);

/// A packet was waited for when taking it took longer than this.
const WAITED_NS: u64 = 10_000;

/// A packet on its way.
struct Flight {
    arrives_at: u64,
    /// With room before it for what the device wants to know.
    packet: Vec<u8>,
}

impl Flight {
    fn new(arrives_at: u64, packet: &[u8]) -> Self {
        let mut with_room = vec![0; VIRTIO_NET_HDR_LEN + packet.len()];
        with_room[VIRTIO_NET_HDR_LEN..].copy_from_slice(packet);
        Self { arrives_at, packet: with_room }
    }
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
    let mut burst = vec![0; BURST_MAX];
    let mut packets = vec![vec![0; PACKET_MAX]; IDEAL_BATCH_SIZE];
    let mut lengths = vec![0; IDEAL_BATCH_SIZE];
    loop {
        let asked_at = since(epoch);
        let Ok(count) = device.recv_multiple(&mut burst, &mut packets, &mut lengths, 0) else {
            return;
        };
        let now = since(epoch);
        for (packet, &length) in packets.iter().zip(&lengths).take(count) {
            gauge.came(length);
            match model.handle(now, length) {
                Fate::Dropped => gauge.dropped(),
                Fate::Lost => gauge.lost(),
                Fate::Arrives(arrives_at) => {
                    if wire.send(Flight::new(arrives_at, &packet[..length])).is_err() {
                        return;
                    }
                }
            }
        }
        if now - asked_at > WAITED_NS {
            std::thread::sleep(GATHER);
        }
    }
}

/// Hands packets over, each at its time, until no more come. What is due at the same time is handed
/// over at once, as a network card does.
fn deliver(device: &SyncDevice, gauge: &Gauge, wire: &Receiver<Flight>, epoch: Instant) {
    let mut joiner = GROTable::default();
    let mut due: Vec<Vec<u8>> = Vec::with_capacity(IDEAL_BATCH_SIZE);
    let mut late: Vec<u64> = Vec::with_capacity(IDEAL_BATCH_SIZE);
    let mut next = wire.recv().ok();
    while let Some(first) = next {
        let mut now = since(epoch);
        while now < first.arrives_at {
            std::thread::sleep(GATHER.max(Duration::from_nanos(first.arrives_at - now)));
            now = since(epoch);
        }
        let mut flight = Some(first);
        while let Some(ripe) = flight.take_if(|flight| flight.arrives_at <= now) {
            late.push(now - ripe.arrives_at);
            due.push(ripe.packet);
            if due.len() < IDEAL_BATCH_SIZE {
                flight = wire.try_recv().ok();
            }
        }
        match device.send_multiple(&mut joiner, &mut due, VIRTIO_NET_HDR_LEN) {
            Ok(_) => late.iter().for_each(|&late| gauge.delivered(late)),
            Err(_) => late.iter().for_each(|_| gauge.refused()),
        }
        due.clear();
        late.clear();
        next = flight.or_else(|| wire.recv().ok());
    }
}
