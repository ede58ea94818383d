//! From one directory of this machine to another.

use crate::bench::{Bench, Field, airlift_alone, program};
use crate::contest::{Kind, Tool, hold};
use crate::ground::{Directories, Mirror, plant_large, plant_small};
use crate::peer::{copy_plainly, copy_with_rclone, copy_with_rsync};
use crate::process::{run, text};
use crate::row::{Report, Unit};

/// One file of 2 GiB.
pub(crate) fn large(bench: &Bench) -> Result<Report, String> {
    let bytes = bench.amount(2 << 30, 16 << 20);
    let field = Field::plant(bench, |root| plant_large(root, bytes))?;
    copy(bench, &field, Unit::Megabytes)
}

/// 50,000 files of 4 KiB.
pub(crate) fn small(bench: &Bench) -> Result<Report, String> {
    let count = bench.amount(50_000, 500);
    let field = Field::plant(bench, |root| plant_small(root, count, 4096))?;
    copy(bench, &field, Unit::Files)
}

fn copy(bench: &Bench, field: &Field, unit: Unit) -> Result<Report, String> {
    let source = field.source();
    let mut tools = vec![airlift_alone(bench, field)];
    tools.push(program("cp -r", Kind::Plain, "cp", |place| copy_plainly(source, place)));
    tools.extend(others(field));
    let records = hold(&field.ground, None, tools, bench.rounds);
    let (bytes, files) = (field.ground.bytes(), field.ground.files());
    Ok(Report { unit, bytes, files, link: None, records, remarks: Vec::new() })
}

/// Those that compare what is there.
fn others(field: &Field) -> [Tool<'_>; 2] {
    let source = field.source();
    [
        program("rsync -a", Kind::Plain, "rsync", |place| copy_with_rsync(source, place)),
        program("rclone copy", Kind::Plain, "rclone", |place| copy_with_rclone(source, place)),
    ]
}

/// 100,000 files that are at the target already.
pub(crate) fn unchanged(bench: &Bench) -> Result<Report, String> {
    let count = bench.amount(100_000, 1_000);
    let field = Field::plant(bench, |root| plant_small(root, count, 256))?;
    let targets = field.ground.targets();
    run(["cp", "-a", &format!("{}/.", text(field.source())), text(targets)])?;
    let mirror = Mirror(Directories::new(field.source(), targets)?);
    let tools = [airlift_alone(bench, &field)].into_iter().chain(others(&field)).collect();
    let records = hold(&mirror, None, tools, bench.rounds);
    let (bytes, files) = (field.ground.bytes(), field.ground.files());
    Ok(Report { unit: Unit::Files, bytes, files, link: None, records, remarks: Vec::new() })
}
