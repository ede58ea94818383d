//! Exit codes, and the error that ends a command.

use airlift_coordinator::event::Outcome;
use airlift_protocol::error::ErrorCode;
use thiserror::Error;

use crate::config::ConfigError;
use crate::runtime::embedded::{ErrorKind, JobEnd, RunError};
use crate::store::StoreError;

/// How the process ends. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything was done.
    Done,
    /// The job ran, but some objects failed, differ, were skipped or could not be listed.
    Trouble,
    /// Wrong usage or configuration.
    Usage,
    /// The job could not run, or not go on; nothing is lost.
    CannotRun,
    /// Interrupted; the same command resumes.
    Interrupted,
}

impl ExitCode {
    /// The number the process ends with.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Trouble => 1,
            Self::Usage => 2,
            Self::CannotRun => 3,
            Self::Interrupted => 130,
        }
    }

    /// The code for a job that ended so.
    pub fn of_job(end: &JobEnd) -> Self {
        match &end.outcome {
            Outcome::Stopped(failure) if failure.code == ErrorCode::Cancelled => Self::Interrupted,
            Outcome::Stopped(_) => Self::CannotRun,
            Outcome::Completed { incomplete }
                if *incomplete || end.totals.objects.troubles() > 0 =>
            {
                Self::Trouble
            }
            Outcome::Completed { .. } => Self::Done,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}

/// An error that ends a command: one line that names the thing and the way out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct CliError {
    /// What the process ends with.
    pub exit: ExitCode,
    /// The line.
    pub message: String,
}

impl CliError {
    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: ExitCode::Usage, message: message.into() }
    }

    /// The job could not run.
    pub fn cannot_run(message: impl Into<String>) -> Self {
        Self { exit: ExitCode::CannotRun, message: message.into() }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        let exit = match error.kind {
            ErrorKind::Usage => ExitCode::Usage,
            ErrorKind::CannotRun => ExitCode::CannotRun,
        };
        Self { exit, message: error.message }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::cannot_run(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use airlift_coordinator::totals::Totals;
    use airlift_protocol::error::Failure;

    use super::*;

    fn end(outcome: Outcome, change: fn(&mut Totals)) -> JobEnd {
        let mut totals = Totals::default();
        change(&mut totals);
        JobEnd { outcome, totals }
    }

    #[test]
    fn every_end_has_its_code() {
        let complete = Outcome::Completed { incomplete: false };
        let stopped = |code| Outcome::Stopped(Failure::new(code, ""));
        let nothing: fn(&mut Totals) = |_| {};
        for (end, number) in [
            (end(complete.clone(), nothing), 0),
            (end(complete.clone(), |totals| totals.objects.deleted = 1), 0),
            (end(complete.clone(), |totals| totals.objects.failed = 1), 1),
            (end(complete.clone(), |totals| totals.objects.skipped = 1), 1),
            (end(complete, |totals| totals.objects.extra = 1), 1),
            (end(Outcome::Completed { incomplete: true }, nothing), 1),
            (end(stopped(ErrorCode::NoSpace), nothing), 3),
            (end(stopped(ErrorCode::Cancelled), nothing), 130),
        ] {
            assert_eq!(ExitCode::of_job(&end).number(), number, "{end:?}");
        }
    }
}
