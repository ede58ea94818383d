//! Directories as sources and targets: planted from a seed, and compared by content.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::contest::Ground;
use crate::process::text;

/// Bytes that are made and written at a time.
const BLOCK: usize = 1 << 20;

/// Length and hash of each file below a root.
pub(crate) type Prints = BTreeMap<PathBuf, (u64, blake3::Hash)>;

/// Bytes that follow from a seed and do not compress.
#[derive(Debug)]
pub(crate) struct Noise(blake3::OutputReader);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }

    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// Plants one file of noise, `large`.
pub(crate) fn plant_large(root: &Path, bytes: u64) -> Result<(), String> {
    let plant = || -> io::Result<()> {
        fs::create_dir_all(root)?;
        let mut file = File::create(root.join("large"))?;
        let (mut noise, mut block) = (Noise::new(bytes), vec![0; BLOCK]);
        let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
        while left > 0 {
            let length = left.min(BLOCK);
            noise.fill(&mut block[..length]);
            file.write_all(&block[..length])?;
            left -= length;
        }
        Ok(())
    };
    plant().map_err(|error| format!("{}: {error}", root.display()))
}

/// Plants `count` files of noise, a thousand in a directory.
pub(crate) fn plant_small(root: &Path, count: u64, bytes: usize) -> Result<(), String> {
    let plant = || -> io::Result<()> {
        let (mut noise, mut block) = (Noise::new(count), vec![0; bytes]);
        for index in 0..count {
            let folder = root.join(format!("{:04}", index / 1000));
            if index % 1000 == 0 {
                fs::create_dir_all(&folder)?;
            }
            noise.fill(&mut block);
            fs::write(folder.join(format!("{index:07}")), &block)?;
        }
        Ok(())
    };
    plant().map_err(|error| format!("{}: {error}", root.display()))
}

/// The prints of everything below `root`.
pub(crate) fn prints(root: &Path) -> Result<Prints, String> {
    let mut prints = Prints::new();
    let read = print_into(root, Path::new(""), &mut prints);
    read.map_err(|error| format!("{}: {error}", root.display()))?;
    Ok(prints)
}

fn print_into(root: &Path, below: &Path, prints: &mut Prints) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            print_into(root, &path, prints)?;
        } else {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(root.join(&path))?)?;
            prints.insert(path, (hasher.count(), hasher.finalize()));
        }
    }
    Ok(())
}

/// The first difference between what should be and what is.
pub(crate) fn compare(expected: &Prints, found: &Prints) -> Result<(), String> {
    for (path, print) in expected {
        match found.get(path) {
            None => return Err(format!("{} is missing", path.display())),
            Some(other) if other != print => return Err(format!("{} differs", path.display())),
            Some(_) => {}
        }
    }
    match found.keys().find(|path| !expected.contains_key(*path)) {
        Some(path) => Err(format!("{} should not be there", path.display())),
        None => Ok(()),
    }
}

/// A source, and a root for targets beside it.
#[derive(Debug)]
pub(crate) struct Directories {
    source: PathBuf,
    targets: PathBuf,
    expected: Prints,
}

impl Directories {
    /// Takes what was planted at `source`; targets come below `targets`.
    pub(crate) fn new(source: &Path, targets: &Path) -> Result<Self, String> {
        fs::create_dir_all(targets).map_err(|error| format!("{}: {error}", targets.display()))?;
        let expected = prints(source)?;
        Ok(Self { source: source.to_owned(), targets: targets.to_owned(), expected })
    }

    pub(crate) fn source(&self) -> &Path {
        &self.source
    }

    pub(crate) fn targets(&self) -> &Path {
        &self.targets
    }

    /// Bytes of the source.
    pub(crate) fn bytes(&self) -> u64 {
        self.expected.values().map(|(bytes, _)| bytes).sum()
    }

    /// Files of the source.
    pub(crate) fn files(&self) -> u64 {
        u64::try_from(self.expected.len()).unwrap_or(u64::MAX)
    }
}

impl Ground for Directories {
    fn prepare(&self, index: usize) -> Result<String, String> {
        let place = self.targets.join(format!("target-{index}"));
        fs::create_dir(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        Ok(text(&place).to_owned())
    }

    fn check(&self, place: &str) -> Result<(), String> {
        compare(&self.expected, &prints(Path::new(place))?)
    }

    fn clear(&self, place: &str) -> Result<(), String> {
        fs::remove_dir_all(place).map_err(|error| format!("{place}: {error}"))
    }
}

/// A target that has everything already, and is to stay as it is.
#[derive(Debug)]
pub(crate) struct Mirror(pub(crate) Directories);

impl Ground for Mirror {
    fn prepare(&self, _: usize) -> Result<String, String> {
        Ok(text(&self.0.targets).to_owned())
    }

    fn check(&self, place: &str) -> Result<(), String> {
        self.0.check(place)
    }

    fn clear(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_right_until_a_byte_of_it_is_changed() {
        let directory = tempfile::tempdir().expect("a directory");
        let source = directory.path().join("source");
        plant_small(&source, 3, 100).expect("files");
        plant_large(&source, 3 << 19).expect("a file");
        let ground = Directories::new(&source, &directory.path().join("targets")).expect("a root");
        assert_eq!((ground.files(), ground.bytes()), (4, 300 + (3 << 19)));
        let place = ground.prepare(0).expect("a place");
        assert!(ground.check(&place).expect_err("it is empty").ends_with("is missing"));
        fs::create_dir(Path::new(&place).join("0000")).expect("a folder");
        for path in ground.expected.keys() {
            fs::copy(source.join(path), Path::new(&place).join(path)).expect("a copy");
        }
        ground.check(&place).expect("it is right");
        fs::write(Path::new(&place).join("more"), "x").expect("a file");
        assert!(ground.check(&place).expect_err("more").ends_with("should not be there"));
        fs::remove_file(Path::new(&place).join("more")).expect("it is there");
        fs::write(Path::new(&place).join("large"), vec![0; 3 << 19]).expect("a file");
        assert_eq!(ground.check(&place), Err("large differs".to_owned()));
        ground.clear(&place).expect("it goes");
    }

    #[test]
    fn noise_follows_from_its_seed() {
        let draw = |seed| {
            let mut bytes = [0; 64];
            Noise::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
