//! The terminal: lines on both streams that never garble the progress bar.

use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressBar};
use tracing_subscriber::fmt::MakeWriter;

use super::exit::CliError;

/// Where a command writes. Clones write to the same terminal.
#[derive(Clone, Debug, Default)]
pub struct Console {
    bars: MultiProgress,
    /// Where a test wants to see what is written.
    #[cfg(test)]
    captured: Option<std::sync::Arc<std::sync::Mutex<Captured>>>,
}

/// What was written, for tests.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(super) struct Captured {
    /// Lines of the result.
    pub out: Vec<String>,
    /// Lines for people.
    pub notes: Vec<String>,
}

#[cfg(test)]
impl Console {
    /// A console that keeps what is written.
    pub(super) fn capturing() -> Self {
        Self { captured: Some(std::sync::Arc::default()), ..Self::default() }
    }

    /// What was written so far.
    pub(super) fn captured(&self) -> Captured {
        self.captured.as_ref().unwrap().lock().unwrap().clone()
    }
}

impl Console {
    /// Puts a bar on the terminal, below all lines.
    pub fn add(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.add(bar)
    }

    /// One line for people, on standard error.
    pub fn note(&self, line: &str) {
        #[cfg(test)]
        if let Some(captured) = &self.captured {
            captured.lock().unwrap().notes.push(line.to_owned());
        }
        // When standard error is gone there is no place left to say so.
        let _ = self.bars.suspend(|| writeln!(io::stderr(), "{line}"));
    }

    /// One line of the result, on standard output.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self, line: &str) -> io::Result<()> {
        #[cfg(test)]
        if let Some(captured) = &self.captured {
            captured.lock().unwrap().out.push(line.to_owned());
        }
        self.bars.suspend(|| writeln!(io::stdout(), "{line}"))
    }

    /// Takes every bar off the terminal.
    pub fn clear(&self) {
        // A bar that cannot be taken off a terminal that is gone bothers nobody.
        let _ = self.bars.clear();
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Console {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The error of a standard output that cannot be written, or `Ok` when its reader only went away.
///
/// # Errors
/// For everything but a closed pipe.
pub fn unless_closed(result: io::Result<()>) -> Result<(), CliError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::cannot_run(format!("write standard output: {}", words(&error))))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The system's words for an error, in lower case and without its number.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
