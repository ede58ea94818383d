//! A file of exported entries: one JSON line each, only ever gone on with.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use airlift_protocol::audit::Chain;

use crate::api::access::AuditLine;
use crate::cli::console::words;
use crate::cli::exit::CliError;

/// Bytes of one line: four texts, escaped, and two hashes.
const LINE_BYTES_MAX: u64 = 32 << 10;

/// A file whose entries were followed to its end.
#[derive(Debug)]
pub(super) struct Exported {
    path: PathBuf,
    /// Number of the first entry; 0 when there is none.
    pub(super) first: u64,
    /// The last one.
    pub(super) end: Option<Chain>,
    /// Bytes of whole lines.
    bytes: u64,
    /// Where more is written to, once something is.
    open: Option<File>,
}

impl Exported {
    /// Reads a file, which need not be there, and follows its entries; the inner error says where they
    /// break off. A last line that was cut short, as by a crash, counts as not there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn read(path: &Path) -> Result<Result<Self, String>, CliError> {
        let mut exported =
            Self { path: path.to_owned(), first: 0, end: None, bytes: 0, open: None };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ok(exported)),
            Err(error) => return Err(failed("read", path, &error)),
        };
        let mut reader = BufReader::new(file);
        let mut number_of_line = 0;
        loop {
            let mut bytes = Vec::new();
            let mut line = (&mut reader).take(LINE_BYTES_MAX);
            line.read_until(b'\n', &mut bytes).map_err(|error| failed("read", path, &error))?;
            if bytes.last() != Some(&b'\n') {
                let is_cut = (bytes.len() as u64) < LINE_BYTES_MAX;
                return Ok(match is_cut {
                    true => Ok(exported),
                    false => Err(format!("line {} is too long", number_of_line + 1)),
                });
            }
            number_of_line += 1;
            let parsed: Result<AuditLine, _> = serde_json::from_slice(&bytes);
            let Ok(line) = parsed else {
                return Ok(Err(format!("line {number_of_line} is no entry")));
            };
            if let Err(broken) = exported.follow(&line) {
                return Ok(Err(format!("line {number_of_line}: {broken}")));
            }
            exported.bytes += bytes.len() as u64;
        }
    }

    /// Goes on with entries of the cluster. The inner error says why they do not follow: then none of
    /// them is written.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn append(&mut self, lines: &[AuditLine]) -> Result<Result<(), String>, CliError> {
        let mut text = String::new();
        for line in lines {
            if let Err(broken) = self.follow(line) {
                return Ok(Err(broken));
            }
            text.push_str(&self::text(line));
            text.push('\n');
        }
        let written = self.file().and_then(|file| file.write_all(text.as_bytes()));
        written.map_err(|error| failed("write", &self.path, &error))?;
        self.bytes += text.len() as u64;
        Ok(Ok(()))
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn finish(&self) -> Result<(), CliError> {
        let synced = self.open.as_ref().map_or(Ok(()), File::sync_all);
        synced.map_err(|error| failed("write", &self.path, &error))
    }

    /// The file, open behind its last whole line.
    fn file(&mut self) -> std::io::Result<&mut File> {
        let file = match self.open.take() {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let mut file = options.write(true).create(true).truncate(false).open(&self.path)?;
                file.set_len(self.bytes)?;
                file.seek(SeekFrom::Start(self.bytes))?;
                file
            }
        };
        Ok(self.open.insert(file))
    }

    fn follow(&mut self, line: &AuditLine) -> Result<(), String> {
        let begun = self.end.or_else(|| line.before());
        let mut chain = begun
            .ok_or_else(|| format!("entry {} names no hash before it that can be", line.number))?;
        line.follow(&mut chain)?;
        if self.end.is_none() {
            self.first = line.number;
        }
        self.end = Some(chain);
        Ok(())
    }
}

/// An entry as a line, without its end.
pub(super) fn text(line: &AuditLine) -> String {
    serde_json::to_string(line).expect("invariant: an entry is plain JSON")
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> CliError {
    CliError::cannot_run(format!("{what} {}: {}", path.display(), words(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::access::lines;

    fn read(path: &Path) -> Exported {
        Exported::read(path).unwrap().unwrap()
    }

    #[test]
    fn a_file_is_gone_on_with_also_behind_a_line_that_was_cut_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let lines = lines(4);
        let mut exported = read(&path);
        assert_eq!((exported.first, exported.end), (0, None));
        exported.append(&lines[..2]).unwrap().unwrap();
        exported.finish().unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&text(&lines[2]).as_bytes()[..20]).unwrap();
        let mut again = read(&path);
        assert_eq!(again.end.unwrap().number, 2);
        again.append(&lines[2..]).unwrap().unwrap();
        assert_eq!(read(&path).end.unwrap().number, 4);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
    }

    #[test]
    fn what_does_not_follow_is_not_written_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let lines = lines(4);
        let mut exported = read(&path);
        exported.append(&lines[..2]).unwrap().unwrap();
        let broken = read(&path).append(&lines[3..]).unwrap().unwrap_err();
        assert!(broken.contains("entry 4 stands where entry 3 should"), "{broken}");
        assert_eq!(read(&path).end.unwrap().number, 2);
        let altered = std::fs::read_to_string(&path).unwrap().replacen("root", "anna", 1);
        std::fs::write(&path, altered).unwrap();
        let broken = Exported::read(&path).unwrap().unwrap_err();
        assert!(broken.starts_with("line 1: entry 1 does not have the hash"), "{broken}");
        std::fs::write(&path, "{}\n").unwrap();
        assert_eq!(Exported::read(&path).unwrap().unwrap_err(), "line 1 is no entry");
        std::fs::write(&path, "x".repeat(LINE_BYTES_MAX as usize)).unwrap();
        assert_eq!(Exported::read(&path).unwrap().unwrap_err(), "line 1 is too long");
    }
}
