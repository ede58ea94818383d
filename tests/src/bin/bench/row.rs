//! The rows of the table: each sets a scene, and lets Airlift and its peers do the same work in it.

mod lan;
mod list;
mod local;
mod million;
mod objects;
mod share;
mod wan;

use serde_json::Value;

use crate::bench::Bench;
use crate::contest::Record;

/// In what a row is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Millions of bytes a second.
    Megabytes,
    /// Millions of bits a second.
    Megabits,
    /// Files or objects a second.
    Files,
    /// Keys listed a second.
    Keys,
}

/// What a row came to.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) unit: Unit,
    /// Bytes and files that each run moves.
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    /// The link, where there is an emulated one.
    pub(crate) link: Option<Value>,
    pub(crate) records: Vec<Record>,
    /// What else is to be said.
    pub(crate) remarks: Vec<String>,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Carries it out; the reason when it cannot be done here.
    pub(crate) run: fn(&Bench) -> Result<Report, String>,
}

/// All of them.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "lan-large", title: "one file over a cable (veth, MTU 1500)", run: lan::large },
    Row { name: "lan-small", title: "files of 4 KiB over a cable", run: lan::small },
    Row { name: "wan-0", title: "one file, 500 Mbit/s, 80 ms, no loss", run: wan::no_loss },
    Row {
        name: "wan-0.1",
        title: "one file, 500 Mbit/s, 80 ms, 0.1 % loss",
        run: wan::little_loss,
    },
    Row { name: "wan-1", title: "one file, 500 Mbit/s, 80 ms, 1 % loss", run: wan::much_loss },
    Row { name: "wan-long", title: "one file, 1 Gbit/s, 200 ms, 0.1 % loss", run: wan::long },
    Row {
        name: "wan-burst",
        title: "one file, 100 Mbit/s, 20 ms, bursts of loss",
        run: wan::burst,
    },
    Row { name: "wan-share", title: "beside a TCP flow, 500 Mbit/s, 80 ms", run: share::run },
    Row { name: "wan-small", title: "files of 4 KiB, 500 Mbit/s, 80 ms, 0.1 %", run: wan::small },
    Row { name: "wan-text", title: "text, 500 Mbit/s, 80 ms, no loss", run: wan::text },
    Row { name: "local-large", title: "one file on one machine", run: local::large },
    Row { name: "local-small", title: "files of 4 KiB on one machine", run: local::small },
    Row { name: "s3-large", title: "one object from bucket to bucket", run: objects::large },
    Row { name: "s3-small", title: "objects of 64 KiB from bucket to bucket", run: objects::small },
    Row { name: "s3-list", title: "keys of a bucket, listed and planned", run: list::run },
    Row {
        name: "local-million",
        title: "a million files of 16 bytes on one machine",
        run: million::files,
    },
    Row {
        name: "s3-million",
        title: "a million objects of 17 bytes from bucket to bucket",
        run: million::objects,
    },
    Row { name: "unchanged", title: "files of which none has changed", run: local::unchanged },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
