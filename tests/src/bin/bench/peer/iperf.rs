//! `iperf3`: what TCP carries over the line, without files and without encryption.

use std::path::Path;

use airlift_tests::room::Room;
use serde_json::Value;

use crate::contest::Run;
use crate::network::{ADDRESSES, Network};
use crate::process::{Daemon, Task, need};

/// In a network that nobody else is in.
const PORT: u16 = 5201;

/// A server at the far site.
#[derive(Debug)]
pub(crate) struct Iperf<'a> {
    room: &'a Room,
    program: String,
    _server: Daemon,
}

impl<'a> Iperf<'a> {
    pub(crate) fn start(network: &'a Network, directory: &Path) -> Result<Self, String> {
        let program = need("iperf3")?;
        let task = Task::new([&*program, "-s", "-p", &PORT.to_string()]);
        let mut server = Daemon::start("iperf3", &task.within(network.rooms()[1]), directory)?;
        server.wait_for_port(PORT)?;
        Ok(Self { room: network.rooms()[0], program, _server: server })
    }

    /// What it measured, sending for so many seconds with more words.
    pub(crate) fn measure(&self, seconds: u32, more: &[&str]) -> Result<Value, String> {
        let (port, time) = (PORT.to_string(), seconds.to_string());
        let words = [&self.program, "-J", "-c", ADDRESSES[1], "-p", &port, "-t", &time];
        let task = Task::new(words.into_iter().chain(more.iter().copied())).within(self.room);
        let ended = task.run()?;
        serde_json::from_str(&ended.stdout).map_err(|error| format!("iperf3: {error}"))
    }

    /// Bits a second that arrived over so many TCP streams.
    pub(crate) fn tcp(&self, streams: u32, seconds: u32) -> Result<f64, String> {
        let report = self.measure(seconds, &["-P", &streams.to_string()])?;
        let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
        rate.ok_or_else(|| "iperf3 gives no rate".to_owned())
    }

    /// The time that so many bytes would take at the rate of so many TCP streams.
    pub(crate) fn carry(&self, bytes: u64, streams: u32, seconds: u32) -> Result<Run, String> {
        let rate = self.tcp(streams, seconds)?;
        Ok(Run { seconds: bytes as f64 * 8.0 / rate.max(1.0), ..Run::default() })
    }
}
