//! Over a cable between two sites.

use crate::bench::{Bench, Field, airlift, flight, tool};
use crate::contest::{Kind, hold};
use crate::ground::{plant_large, plant_small};
use crate::network::Network;
use crate::peer::{RcloneSftp, RsyncDaemon, Ssh};
use crate::row::{Report, Unit};

/// One file of 2 GiB.
pub(crate) fn large(bench: &Bench) -> Result<Report, String> {
    let network = Network::cable()?;
    let bytes = bench.amount(2 << 30, 16 << 20);
    let field = Field::plant(bench, |root| plant_large(root, bytes))?;
    let (ground, source) = (&field.ground, field.source());
    let flight = flight(bench, &network, &field)?;
    let rsync = RsyncDaemon::start(&network, ground.targets(), field.directory());
    let ssh = Ssh::start(&network, field.directory());
    let tools = vec![
        airlift(&flight, source),
        tool("rsync daemon", Kind::Plain, &rsync, |it, place| it.copy(source, place, &[])),
        tool("rsync+ssh", Kind::Encrypted, &ssh, |it, place| it.rsync(source, place)).with("rsync"),
        tool("scp", Kind::Encrypted, &ssh, |it, place| it.scp(source, place)).with("scp"),
        tool("tar+ssh", Kind::Encrypted, &ssh, |it, place| it.tar(source, place)),
        tool("rclone sftp", Kind::Encrypted, &ssh, |it, place| {
            RcloneSftp::copy(&network, it, source, place)
        })
        .with("rclone"),
    ];
    let records = hold(ground, Some(&network), tools, bench.rounds);
    let (bytes, files) = (ground.bytes(), ground.files());
    Ok(Report { unit: Unit::Megabytes, bytes, files, link: None, records, remarks: Vec::new() })
}

/// 20,000 files of 4 KiB.
pub(crate) fn small(bench: &Bench) -> Result<Report, String> {
    let network = Network::cable()?;
    let count = bench.amount(20_000, 500);
    let field = Field::plant(bench, |root| plant_small(root, count, 4096))?;
    let (ground, source) = (&field.ground, field.source());
    let flight = flight(bench, &network, &field)?;
    let rsync = RsyncDaemon::start(&network, ground.targets(), field.directory());
    let ssh = Ssh::start(&network, field.directory());
    let tools = vec![
        airlift(&flight, source),
        tool("rsync daemon", Kind::Plain, &rsync, |it, place| it.copy(source, place, &[])),
        tool("tar+ssh", Kind::Encrypted, &ssh, |it, place| it.tar(source, place)),
    ];
    let records = hold(ground, Some(&network), tools, bench.rounds);
    let (bytes, files) = (ground.bytes(), ground.files());
    Ok(Report { unit: Unit::Files, bytes, files, link: None, records, remarks: Vec::new() })
}
