//! The report: one JSON line for each object that came to its end, and a last summary line.
//!
//! Lines go to the file as they come, so that an interrupted run leaves a prefix of use. What an earlier run
//! left goes only when this one begins: one that is refused has nothing to put in its place.

use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use airlift_coordinator::event::Event;
use serde::Serialize;
use serde_json::Value;

use super::console::words;
use super::exit::CliError;
use crate::api::line::ReportLine;

/// An open report.
pub(super) struct Report {
    name: PathBuf,
    lines: Box<dyn Write + Send>,
    /// The file that an earlier run may have filled, until this one begins.
    found: Option<File>,
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Report {
    /// Opens a report in a file, or on standard output for `-`. What is in the file stays until the run
    /// [begins](Self::begin).
    ///
    /// # Errors
    /// When the file cannot be made, or another run writes it.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let name = path.to_owned();
        if path == Path::new("-") {
            return Ok(Self { name, lines: Box::new(BufWriter::new(io::stdout())), found: None });
        }
        let failed = |error: io::Error| {
            let reason = words(&error);
            CliError::cannot_run(format!("create the report {}: {reason}", path.display()))
        };
        let opened = File::options().write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(failed)?;
        // Pipes and devices have nothing to be emptied, and may serve several runs.
        let is_file = file.metadata().map_err(failed)?.is_file();
        if is_file && matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(CliError::cannot_run(format!(
                "another airlift process writes the report {}: wait for it, or name another file",
                path.display()
            )));
        }
        // A file system that has no locks keeps nobody out.
        let found = is_file.then(|| file.try_clone()).transpose().map_err(failed)?;
        Ok(Self { name, lines: Box::new(BufWriter::new(file)), found })
    }

    /// Empties the file: the run for which it was opened takes place.
    ///
    /// # Errors
    /// When it cannot be emptied.
    pub(super) fn begin(&mut self) -> Result<(), CliError> {
        match self.found.take() {
            Some(found) => found.set_len(0).map_err(|error| self.failed(&error)),
            None => Ok(()),
        }
    }

    /// Adds the line of an event that has one. The first of all begins the report, since there are events
    /// only of a job that has its state to itself.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub(super) fn handle(&mut self, event: &Event) -> Result<(), CliError> {
        self.begin()?;
        match ReportLine::of_event(event) {
            Some(line) => self.write(&line),
            None => Ok(()),
        }
    }

    /// Adds a line as a node wrote it.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub(super) fn add(&mut self, line: &str) -> Result<(), CliError> {
        writeln!(self.lines, "{line}").map_err(|error| self.failed(&error))
    }

    /// Hands complete lines to the system, so that a reader of a running job sees them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        self.lines.flush().map_err(|error| self.failed(&error))
    }

    /// Adds the last line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(mut self, summary: &Value) -> Result<(), CliError> {
        self.write(&serde_json::json!({ "summary": summary }))?;
        self.flush()
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), CliError> {
        let written = serde_json::to_writer(&mut self.lines, line).map_err(io::Error::from);
        written.and_then(|()| self.lines.write_all(b"\n")).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> CliError {
        let (name, reason) = (self.name.display(), words(error));
        CliError::cannot_run(format!("write the report {name}: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use airlift_coordinator::event::{ObjectEnd, Status};
    use airlift_protocol::assignment::End;
    use airlift_protocol::attributes::AttributeKind;
    use airlift_protocol::chunk::Root;
    use airlift_protocol::error::{ErrorCode, Failure};
    use airlift_protocol::id::JobId;
    use airlift_protocol::key::Key;

    use super::*;

    const JOB: JobId = JobId([1; 16]);

    fn finished(key: &[u8], status: Status, reason: Option<(Option<ErrorCode>, String)>) -> Event {
        let root = (status == Status::Done).then(|| Root::of(b"x"));
        let is_done = status == Status::Done;
        let dropped = is_done.then_some(AttributeKind::Tags).into_iter().collect();
        let object =
            ObjectEnd { key: Key::from(key), status, bytes: 1, root, reason, dropped, sum: None };
        Event::ObjectFinished { job: JOB, object }
    }

    #[test]
    fn every_object_has_a_line_and_the_summary_is_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.jsonl");
        let mut report = Report::open(&path).unwrap();
        report.handle(&finished(b"a", Status::Done, None)).unwrap();
        let denied = (Some(ErrorCode::PermissionDenied), "open b: permission denied".to_owned());
        report.handle(&finished(b"b\xff", Status::Failed, Some(denied))).unwrap();
        report
            .handle(&Event::Unreadable {
                job: JOB,
                end: End::Source,
                key: Key::from("dir/"),
                failure: Failure::new(ErrorCode::Io, "list dir/"),
            })
            .unwrap();
        report.finish(&serde_json::json!({ "outcome": "completed" })).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let hash = blake3::hash(b"x").to_hex();
        assert_eq!(
            lines,
            [
                format!(
                    r#"{{"key":"a","status":"done","bytes":1,"blake3":"{hash}","reason":null,"code":null,"dropped":["tags"]}}"#
                )
                .as_str(),
                r#"{"key":"b\\xff","key_base64":"Yv8=","status":"failed","bytes":1,"blake3":null,"reason":"open b: permission denied","code":"permission_denied"}"#,
                r#"{"key":"dir/","status":"unreadable","bytes":0,"blake3":null,"reason":"list dir/","code":"io","end":"source"}"#,
                r#"{"summary":{"outcome":"completed"}}"#,
            ]
        );
    }

    #[test]
    fn a_report_that_cannot_be_written_is_an_error_that_names_it() {
        let error = Report::open(Path::new("/nowhere/report")).unwrap_err();
        assert_eq!(error.message, "create the report /nowhere/report: no such file or directory");
        let mut report = Report::open(Path::new("/dev/full")).unwrap();
        report.handle(&finished(b"a", Status::Done, None)).unwrap();
        let error = report.flush().unwrap_err();
        assert_eq!(error.message, "write the report /dev/full: no space left on device");
    }

    /// The file was emptied as soon as it was opened, also by a run that was refused then.
    #[test]
    fn what_an_earlier_run_left_stays_until_this_one_begins() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.jsonl");
        std::fs::write(&path, "earlier\n").unwrap();
        drop(Report::open(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "earlier\n");
        let mut report = Report::open(&path).unwrap();
        report.handle(&Event::JobStarted { job: JOB, run: 1 }).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        let error = Report::open(&path).unwrap_err();
        assert!(error.message.starts_with("another airlift process writes the report "), "{error}");
        drop(report);
        assert!(Report::open(&path).is_ok(), "nobody writes it any more");
        let nowhere = Path::new("/dev/null");
        let _first = Report::open(nowhere).unwrap();
        assert!(Report::open(nowhere).is_ok(), "there is nothing to be spoilt");
    }
}
