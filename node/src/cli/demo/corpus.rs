//! The data of the demonstration: files of every kind that gives movers trouble.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Number of tiny files.
pub(super) const TINY_COUNT: u64 = 1500;
const RANDOM_BYTES: usize = 128 << 20;
const TEXT_LINES: u64 = 120_000;
/// Islands of data in the sparse file, and the distance between their beginnings.
const ISLANDS: u64 = 16;
const ISLAND_BYTES: usize = 64 << 10;
const ISLAND_PERIOD: u64 = 4 << 20;
/// A checkout is copied up to this size and number of files: the demonstration is to be short.
const CHECKOUT_BYTES_MAX: u64 = 64 << 20;
const CHECKOUT_FILES_MAX: u64 = 3000;

/// Names that get lost or changed when a mover "cleans" them.
const ODD_NAMES: [&[u8]; 20] = [
    b" leading blank",
    b"trailing blank ",
    b"two  blanks",
    b"tab\there",
    b"new\nline",
    b"back\\slash",
    b"quote'\"`",
    b"percent%2Fslash",
    b"plus+and&hash#question?",
    b"-rf",
    b"~",
    b"...",
    b".hidden",
    b"colon:name",
    b"star*[glob]{a,b}",
    b"caf\xc3\xa9 composed",
    b"cafe\xcc\x81 decomposed",
    b"\xf0\x9f\x9a\x80 rocket",
    b"latin1 \xe9\xe8 outside UTF-8",
    b"\xff\xfe\x01",
];

/// Fills `root`; answers the names that the file system refused.
pub(super) fn make(root: &Path) -> io::Result<Vec<Vec<u8>>> {
    fs::create_dir_all(root.join("tiny"))?;
    fs::create_dir_all(root.join("empty directory"))?;
    fs::create_dir_all(root.join("odd names"))?;
    let mut noise = noise("random");
    fill(&mut File::create(root.join("random.bin"))?, &mut noise, RANDOM_BYTES)?;
    make_text(&root.join("text.log"))?;
    make_sparse(&root.join("sparse.img"))?;
    for index in 0..TINY_COUNT {
        let folder = root.join(format!("tiny/{:02}", index % 37));
        fs::create_dir_all(&folder)?;
        fs::write(
            folder.join(format!("{index}.txt")),
            format!("{index}\n").repeat(index as usize % 97),
        )?;
    }
    symlink("text.log", root.join("link to text"))?;
    fs::write(root.join("script.sh"), "#!/bin/sh\necho moved\n")?;
    fs::set_permissions(root.join("script.sh"), fs::Permissions::from_mode(0o755))?;
    make_odd_names(&root.join("odd names"))
}

fn make_text(path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in 0..TEXT_LINES {
        writeln!(
            file,
            "{line:08} INFO the quick brown fox moved object {} to the target",
            line * 7
        )?;
    }
    file.flush()
}

/// Islands of data in a sea of holes, with a hole at the end.
fn make_sparse(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut noise = noise("sparse");
    for island in 0..ISLANDS {
        file.seek(SeekFrom::Start(island * ISLAND_PERIOD))?;
        fill(&mut file, &mut noise, ISLAND_BYTES)?;
    }
    file.set_len(ISLANDS * ISLAND_PERIOD)
}

fn make_odd_names(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut refused = Vec::new();
    for name in ODD_NAMES {
        match fs::write(folder.join(OsStr::from_bytes(name)), name) {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => refused.push(name.to_vec()),
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// Whether a file system says that it cannot hold a name.
fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::ILSEQ | Errno::INVAL))
}

/// Bytes that nothing can compress, the same every time.
fn noise(seed: &str) -> blake3::OutputReader {
    blake3::Hasher::new_derive_key("airlift 2026-11 demo data")
        .update(seed.as_bytes())
        .finalize_xof()
}

fn fill(file: &mut File, noise: &mut blake3::OutputReader, bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; bytes.min(1 << 20)];
    for start in (0..bytes).step_by(buffer.len()) {
        let piece = (bytes - start).min(buffer.len());
        noise.fill(&mut buffer[..piece]);
        file.write_all(&buffer[..piece])?;
    }
    Ok(())
}

/// Whether `directory` is the top of a source checkout.
pub(super) fn is_checkout(directory: &Path) -> bool {
    directory.join(".git").exists() || directory.join("Cargo.toml").exists()
}

/// Copies the files of a checkout, without what was built and without history; answers how many.
pub(super) fn copy_checkout(from: &Path, to: &Path) -> io::Result<u64> {
    let mut room = Room { bytes: CHECKOUT_BYTES_MAX, files: CHECKOUT_FILES_MAX };
    copy_folder(from, to, &mut room)?;
    Ok(CHECKOUT_FILES_MAX - room.files)
}

/// What may still be copied.
struct Room {
    bytes: u64,
    files: u64,
}

fn copy_folder(from: &Path, to: &Path, room: &mut Room) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let target = to.join(&name);
        if kind.is_dir() && name != "target" && name != ".git" {
            copy_folder(&entry.path(), &target, room)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, target)?;
        } else if kind.is_file() {
            let bytes = entry.metadata()?.len();
            if room.files == 0 || bytes > room.bytes {
                continue;
            }
            room.bytes -= bytes;
            room.files -= 1;
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sparse_file_has_holes_and_the_noise_is_the_same_every_time() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        make_sparse(&one).unwrap();
        make_sparse(&two).unwrap();
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        let metadata = fs::metadata(&one).unwrap();
        assert_eq!(metadata.len(), ISLANDS * ISLAND_PERIOD);
        assert!(metadata.blocks() * 512 < metadata.len() / 2);
    }

    #[test]
    fn a_checkout_is_copied_without_target_and_history() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("in");
        for name in [".git/x", "target/y", "src/lib.rs", "Cargo.toml"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), name).unwrap();
        }
        assert!(is_checkout(&root));
        let out = folder.path().join("out");
        assert_eq!(copy_checkout(&root, &out).unwrap(), 2);
        assert!(out.join("src/lib.rs").exists());
        assert!(!out.join(".git").exists() && !out.join("target").exists());
    }
}
