//! Two sites with a network of their own: connected by a cable, or by an emulated link.

use airlift_tests::room::{Own, Room};

use crate::link::{Reading, Shape, Wire};
use crate::process::need;

/// Addresses of the two sites.
pub(crate) const ADDRESSES: [&str; 2] = ["10.98.0.1", "10.98.0.2"];

/// Two rooms that reach each other and nothing else.
#[derive(Debug)]
pub(crate) struct Network {
    rooms: [Room; 2],
    /// `None` when it is a cable.
    wire: Option<Wire>,
}

impl Network {
    /// A pair of virtual Ethernet devices with an MTU of 1,500.
    pub(crate) fn cable() -> Result<Self, String> {
        let rooms = open()?;
        let ids = [rooms[0].id().to_string(), rooms[1].id().to_string()];
        let words = ["ip", "link", "add", "lan0", "mtu", "1500", "type", "veth"];
        let peer = ["peer", "name", "lan0", "mtu", "1500", "netns", &ids[1]];
        rooms[0].run(words.into_iter().chain(peer))?;
        for (room, address) in rooms.iter().zip(ADDRESSES) {
            room.run(["ip", "addr", "add", &format!("{address}/24"), "dev", "lan0"])?;
            room.run(["ip", "link", "set", "lan0", "up"])?;
        }
        Ok(Self { rooms, wire: None })
    }

    /// An emulated link.
    pub(crate) fn link(shape: &Shape) -> Result<Self, String> {
        let rooms = open()?;
        let ends = [(&rooms[0], ADDRESSES[0]), (&rooms[1], ADDRESSES[1])];
        let wire = Wire::connect(shape, ends)?;
        Ok(Self { rooms, wire: Some(wire) })
    }

    /// The sites.
    pub(crate) fn rooms(&self) -> [&Room; 2] {
        [&self.rooms[0], &self.rooms[1]]
    }

    /// What passed the link so far, there and back.
    pub(crate) fn read(&self) -> Option<[Reading; 2]> {
        self.wire.as_ref().map(Wire::read)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(wire) = self.wire.take() {
            wire.disconnect([&self.rooms[0], &self.rooms[1]]);
        }
    }
}

fn open() -> Result<[Room; 2], String> {
    ["ip", "unshare", "nsenter"].into_iter().try_for_each(|program| need(program).map(drop))?;
    let rooms = [Room::open(Own::Network)?, Room::open(Own::Network)?];
    for room in &rooms {
        room.run(["ip", "link", "set", "lo", "up"])?;
    }
    Ok(rooms)
}
