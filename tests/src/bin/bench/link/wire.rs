//! A link that is up: two devices, moved into the namespaces of its ends, and the threads between.

use std::sync::Arc;
use std::sync::mpsc::channel;

use airlift_tests::room::Room;
use tun_rs::{DeviceBuilder, SyncDevice};

use super::gauge::Reading;
use super::model::Model;
use super::pipe::Pipe;
use super::priority;
use super::shape::{Loss, Shape};
use crate::process;

/// Packets that a device holds until the link takes them: more than the largest window in use, so
/// that only the link drops.
const DEVICE_QUEUE: &str = "20000";

/// The name of the device at either end.
pub(crate) const DEVICE: &str = "wan0";

/// A link between two rooms.
#[derive(Debug)]
pub(crate) struct Wire {
    there: Pipe,
    back: Pipe,
}

impl Wire {
    /// Connects two rooms; each has its address and reaches the other's.
    pub(crate) fn connect(shape: &Shape, ends: [(&Room, &str); 2]) -> Result<Self, String> {
        let [first, second] = ends;
        let near = attach(first, second.1, 'a')?;
        let far = attach(second, first.1, 'b')?;
        let (begun, threads) = channel();
        let there = Pipe::start(&near, &far, model(shape, shape.loss, 0), &begun);
        let back = Pipe::start(&far, &near, model(shape, shape.loss_back, 1), &begun);
        drop(begun);
        threads.iter().for_each(priority::raise);
        Ok(Self { there, back })
    }

    /// What passed so far: from the first end to the second, and back.
    pub(crate) fn read(&self) -> [Reading; 2] {
        [self.there.gauge.read(), self.back.gauge.read()]
    }

    /// Takes the devices away and waits for the threads.
    pub(crate) fn disconnect(mut self, rooms: [&Room; 2]) {
        for room in rooms {
            // It is gone already when the room's processes are.
            drop(room.run(["ip", "link", "del", DEVICE]));
        }
        self.there.join();
        self.back.join();
    }
}

fn model(shape: &Shape, loss: Loss, direction: u64) -> Model {
    let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let seed = shape.seed.wrapping_mul(2).wrapping_add(direction);
    Model::new(shape.rate, ns(shape.delay), ns(shape.queue), loss, seed)
}

/// Makes a device and moves it into a room. It keeps its descriptor here.
fn attach(end: (&Room, &str), other: &str, side: char) -> Result<Arc<SyncDevice>, String> {
    let (room, address) = end;
    let name = format!("wire{}{side}", std::process::id());
    let device = DeviceBuilder::new().name(&name).enable(false).offload(true).build_sync();
    let device = device.map_err(|error| format!("a TUN device is not to be had: {error}"))?;
    let id = room.id().to_string();
    process::run(["ip", "link", "set", &name, "netns", &id])?;
    room.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"])?;
    room.run(["ip", "link", "set", &name, "name", DEVICE])?;
    room.run(["ip", "addr", "add", address, "peer", other, "dev", DEVICE])?;
    room.run(["ip", "link", "set", DEVICE, "mtu", "1500", "txqueuelen", DEVICE_QUEUE, "up"])?;
    Ok(Arc::new(device))
}
