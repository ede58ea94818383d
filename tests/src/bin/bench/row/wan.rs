//! Over emulated links.

use crate::bench::{Bench, Field, airlift, flight, tool};
use crate::contest::{Kind, hold};
use crate::ground::{plant_large, plant_small};
use crate::link::Shape;
use crate::link::shape::Loss;
use crate::network::Network;
use crate::peer::{Iperf, RcloneSftp, RsyncDaemon, Ssh};
use crate::row::{Report, Unit};
use crate::text::plant_text;

/// Seconds for which `iperf3` sends.
const REFERENCE_SECONDS: u64 = 8;

pub(crate) fn no_loss(bench: &Bench) -> Result<Report, String> {
    one_file(bench, Shape::new(500, 80, Loss::None), 300 << 20)
}

pub(crate) fn little_loss(bench: &Bench) -> Result<Report, String> {
    one_file(bench, Shape::new(500, 80, Loss::Random(0.001)), 300 << 20)
}

pub(crate) fn much_loss(bench: &Bench) -> Result<Report, String> {
    one_file(bench, Shape::new(500, 80, Loss::Random(0.01)), 300 << 20)
}

pub(crate) fn long(bench: &Bench) -> Result<Report, String> {
    one_file(bench, Shape::new(1000, 200, Loss::Random(0.001)), 1 << 30)
}

pub(crate) fn burst(bench: &Bench) -> Result<Report, String> {
    let loss = Loss::Burst { share: 0.01, packets: 8.0 };
    one_file(bench, Shape::new(100, 20, loss), 100 << 20)
}

/// One file, against tools with one connection and a bundle of plain TCP connections.
fn one_file(bench: &Bench, shape: Shape, bytes: u64) -> Result<Report, String> {
    let shape = bench.link(shape);
    let network = Network::link(&shape)?;
    let bytes = bench.amount(bytes, 1 << 20);
    let seconds = u32::try_from(bench.amount(REFERENCE_SECONDS, 1)).unwrap_or(1);
    let field = Field::plant(bench, |root| plant_large(root, bytes))?;
    let (ground, source) = (&field.ground, field.source());
    let flight = flight(bench, &network, &field)?;
    let rsync = RsyncDaemon::start(&network, ground.targets(), field.directory());
    let ssh = Ssh::start(&network, field.directory());
    let iperf = Iperf::start(&network, field.directory());
    let tools = vec![
        airlift(&flight, source),
        tool("rsync daemon", Kind::Plain, &rsync, |it, place| it.copy(source, place, &[])),
        tool("scp", Kind::Encrypted, &ssh, |it, place| it.scp(source, place)).with("scp"),
        tool("rclone sftp", Kind::Encrypted, &ssh, |it, place| {
            RcloneSftp::copy(&network, it, source, place)
        })
        .with("rclone"),
        tool("iperf3, 8 TCP", Kind::Reference, &iperf, |it, _| it.carry(bytes, 8, seconds)),
    ];
    let records = hold(ground, Some(&network), tools, bench.rounds);
    Ok(report(Unit::Megabits, &field, &shape, records))
}

/// 20,000 files of 4 KiB.
pub(crate) fn small(bench: &Bench) -> Result<Report, String> {
    let shape = bench.link(Shape::new(500, 80, Loss::Random(0.001)));
    let network = Network::link(&shape)?;
    let count = bench.amount(20_000, 300);
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
    Ok(report(Unit::Files, &field, &shape, records))
}

/// Text that compresses: more arrives than the link carries.
pub(crate) fn text(bench: &Bench) -> Result<Report, String> {
    let shape = bench.link(Shape::new(500, 80, Loss::None));
    let network = Network::link(&shape)?;
    let bytes = bench.amount(1 << 30, 4 << 20);
    let field = Field::plant(bench, |root| plant_text(root, bytes))?;
    let (ground, source) = (&field.ground, field.source());
    let flight = flight(bench, &network, &field)?;
    let rsync = RsyncDaemon::start(&network, ground.targets(), field.directory());
    let zstd = ["--compress", "--compress-choice=zstd"];
    let tools = vec![
        airlift(&flight, source),
        tool("rsync daemon", Kind::Plain, &rsync, |it, place| it.copy(source, place, &[])),
        tool("rsync -z", Kind::Plain, &rsync, |it, place| it.copy(source, place, &zstd)),
    ];
    let records = hold(ground, Some(&network), tools, bench.rounds);
    let mut report = report(Unit::Megabits, &field, &shape, records);
    report.remarks.push("rates are of the text, not of what passed the link".to_owned());
    Ok(report)
}

fn report(
    unit: Unit,
    field: &Field,
    shape: &Shape,
    records: Vec<crate::contest::Record>,
) -> Report {
    let (bytes, files) = (field.ground.bytes(), field.ground.files());
    Report { unit, bytes, files, link: Some(shape.json()), records, remarks: Vec::new() }
}
