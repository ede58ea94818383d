//! A report that is read line by line, and goes on at another node when one dies.

use std::collections::VecDeque;

use airlift_protocol::id::JobId;
use reqwest::{Response, Url};

use super::{Call, Client, ClientError};

/// Bytes of one line: a key and a reason, with everything in them escaped.
const LINE_BYTES_MAX: usize = 128 << 10;
/// Times that a report may break off without a new line before that is an error.
const BREAKS_MAX: u32 = 5;

/// A report on its way.
#[derive(Debug)]
pub struct RemoteReport<'a> {
    client: &'a Client,
    job: JobId,
    open: Option<(Url, Response)>,
    /// Whole lines that were not asked for yet.
    lines: VecDeque<String>,
    /// The beginning of the next line.
    rest: Vec<u8>,
    /// Lines received.
    count: u64,
    breaks: u32,
    is_complete: bool,
}

impl<'a> RemoteReport<'a> {
    pub(super) fn new(client: &'a Client, job: JobId) -> Self {
        Self {
            client,
            job,
            open: None,
            lines: VecDeque::new(),
            rest: Vec::new(),
            count: 0,
            breaks: 0,
            is_complete: false,
        }
    }

    /// The next line, without its end; `None` after the last.
    ///
    /// # Errors
    /// When no node answers, or the answer is an error.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            if self.is_complete {
                return Ok(None);
            }
            let (url, response) = match &mut self.open {
                Some(open) => open,
                None => {
                    let mut call = Call::read(&["jobs", &self.job.to_string(), "report"]);
                    call.query = Some(("from", self.count));
                    // The whole may take long; silence is bounded all the same.
                    call.timeout = None;
                    self.open.insert(self.client.open(&call).await?)
                }
            };
            match response.chunk().await {
                Ok(Some(piece)) => {
                    let url = url.clone();
                    self.take(&url, &piece)?;
                }
                Ok(None) if self.rest.is_empty() => self.is_complete = true,
                Ok(None) => return Err(ClientError::malformed(url, "its last line has no end")),
                Err(error) => {
                    let error = ClientError::sent(url, &error);
                    self.breaks += 1;
                    if self.breaks > BREAKS_MAX {
                        return Err(error);
                    }
                    tracing::debug!(%error, lines = self.count, "a report broke off");
                    self.rest.clear();
                    self.open = None;
                }
            }
        }
    }

    fn take(&mut self, url: &Url, piece: &[u8]) -> Result<(), ClientError> {
        self.rest.extend_from_slice(piece);
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return match self.rest.len() <= LINE_BYTES_MAX {
                true => Ok(()),
                false => Err(ClientError::malformed(url, "a line is too long")),
            };
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let text = String::from_utf8(whole)
            .map_err(|_| ClientError::malformed(url, "a line is not text"))?;
        self.lines.extend(text.lines().map(str::to_owned));
        self.count += self.lines.len() as u64;
        self.breaks = 0;
        Ok(())
    }
}
