//! The report: one JSON line for each object that came to its end, and a last summary line.
//!
//! Lines go to the file as they come, so that an interrupted run leaves a prefix of use.

use std::fs::File;
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
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Report {
    /// Begins a report in a file, or on standard output for `-`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let lines: Box<dyn Write + Send> = match path == Path::new("-") {
            true => Box::new(BufWriter::new(io::stdout())),
            false => Box::new(BufWriter::new(File::create(path).map_err(|error| {
                let reason = words(&error);
                CliError::cannot_run(format!("create the report {}: {reason}", path.display()))
            })?)),
        };
        Ok(Self { name: path.to_owned(), lines })
    }

    /// Adds the line of an event that has one.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub(super) fn handle(&mut self, event: &Event) -> Result<(), CliError> {
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
        let mut report = Report::create(&path).unwrap();
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
        let error = Report::create(Path::new("/nowhere/report")).unwrap_err();
        assert_eq!(error.message, "create the report /nowhere/report: no such file or directory");
        let mut report = Report::create(Path::new("/dev/full")).unwrap();
        report.handle(&finished(b"a", Status::Done, None)).unwrap();
        let error = report.flush().unwrap_err();
        assert_eq!(error.message, "write the report /dev/full: no space left on device");
    }
}
