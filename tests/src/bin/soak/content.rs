//! Trees that change between jobs, and whether what arrived is what was there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use airlift_tests::tree::{self, Node};

use crate::chance::Chance;
use crate::ground::{BUCKET, Ground};

/// Names of small files that there may be.
const SMALL_NAMES: u64 = 160;

/// Large files, and their sizes at most: of one range, and of several.
const LARGE: [(&str, u64); 3] =
    [("large/a", 9 << 20), ("large/b", 24 << 20), ("large/c", 70 << 20)];

/// Small files that change from one job to the next.
const CHANGES: u64 = 40;

/// Changes a tree: files come, change and go.
pub(crate) fn evolve(root: &Path, chance: &mut Chance) -> Result<(), String> {
    for _ in 0..CHANGES {
        let number = chance.below(SMALL_NAMES);
        let name = format!("small/{}/{number}", number % 7);
        match chance.below(4) {
            0 => remove(&root.join(&name))?,
            _ => put(root, &name, chance.below(20_000), chance.draw()),
        }
    }
    let (name, most) = chance.pick(&LARGE);
    match chance.below(5) {
        0 => remove(&root.join(name))?,
        _ => put(root, name, most / 2 + chance.below(most / 2), chance.draw()),
    }
    // A source is never empty: sync would refuse to delete all.
    put(root, "always", 1 + chance.below(100), chance.draw());
    Ok(())
}

fn put(root: &Path, name: &str, bytes: u64, seed: u64) {
    let bytes = usize::try_from(bytes).expect("a size of ours");
    tree::write(root, name, &tree::noise(seed, bytes));
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Flips a bit of a file and leaves its time and size as they are; answers its name.
pub(crate) fn damage(root: &Path, chance: &mut Chance) -> Result<String, String> {
    let files = files(root);
    let names: Vec<&OsString> = files.keys().collect();
    let index = chance.below(u64::try_from(names.len()).expect("a few"));
    let name = names[usize::try_from(index).expect("a few")];
    let path = root.join(name);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let time = fs::metadata(&path).and_then(|it| it.modified()).map_err(failed)?;
    let mut bytes = fs::read(&path).map_err(failed)?;
    let place = usize::try_from(chance.draw()).unwrap_or(0) % bytes.len();
    bytes[place] ^= 1;
    fs::write(&path, bytes).map_err(failed)?;
    let file = fs::File::options().write(true).open(&path).map_err(failed)?;
    file.set_modified(time).map_err(failed)?;
    Ok(name.to_string_lossy().into_owned())
}

/// The files of a tree that have bytes.
fn files(root: &Path) -> BTreeMap<OsString, Node> {
    let mut tree = tree::read(root);
    tree.retain(|_, node| matches!(node, Node::File { bytes, .. } if *bytes > 0));
    tree
}

/// Compares two trees, byte for byte and with times and permission bits.
pub(crate) fn compare(ground: &Ground, source: &Path, target: &Path) -> Result<(), String> {
    same(ground, tree::read(source), tree::read(target), target)
}

/// Compares the files of a tree with what a bucket holds below `prefix`, by content.
pub(crate) fn compare_bucket(ground: &Ground, source: &Path, prefix: &str) -> Result<(), String> {
    let source = tree::read(source).into_iter().filter_map(|(name, node)| match node {
        Node::File { hash, .. } => Some((name, hash)),
        _ => None,
    });
    let mut target = BTreeMap::new();
    for key in ground.server.keys(BUCKET) {
        let Some(name) = key.strip_prefix(prefix) else { continue };
        // Markers of empty directories are no files.
        let content = ground.server.content(BUCKET, &key).filter(|_| !name.ends_with('/'));
        if let Some(bytes) = content {
            target.insert(OsString::from_vec(name.as_bytes().to_vec()), blake3::hash(&bytes));
        }
    }
    same(ground, source.collect(), target, Path::new(prefix))
}

fn same<V: PartialEq + std::fmt::Debug>(
    ground: &Ground,
    source: BTreeMap<OsString, V>,
    target: BTreeMap<OsString, V>,
    place: &Path,
) -> Result<(), String> {
    let objects = u64::try_from(source.len()).unwrap_or(u64::MAX);
    ground.compared.fetch_add(objects, std::sync::atomic::Ordering::Relaxed);
    let other = |name: &&OsString| source.get(*name) != target.get(*name);
    let wrong: Vec<String> = source
        .keys()
        .chain(target.keys().filter(|name| !source.contains_key(*name)))
        .filter(other)
        .take(5)
        .map(|name| format!("{name:?}: {:?} -> {:?}", source.get(name), target.get(name)))
        .collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{} is not what its source is: {wrong:?}", place.display())),
    }
}
