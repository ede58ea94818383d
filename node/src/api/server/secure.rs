//! TLS of connections. Who comes in plain text is told so, in plain text, and nothing else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Limits;
use super::patient::Patient;
use crate::api::error::{ApiError, PROBLEM_TYPE, Problem};
use crate::api::tls::{Certificate, TlsError};
use crate::runtime::blocking::blocking;

/// The first byte of whoever speaks TLS: a record of the handshake.
const HANDSHAKE: u8 = 22;

/// What connections are encrypted with.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    certificate: Certificate,
}

/// A connection once its first bytes are known.
pub(super) enum Opened {
    /// It is encrypted.
    Secure(Box<TlsStream<Patient<TcpStream>>>),
    /// It was not, was told so, and is closed.
    Plain,
}

impl Tls {
    /// Shows `certificate`.
    pub(super) fn of(certificate: Certificate) -> Result<Self, TlsError> {
        let acceptor = TlsAcceptor::from(Arc::new(certificate.server()?));
        Ok(Self { acceptor, certificate })
    }

    /// Encrypts a connection.
    pub(super) async fn open(&self, stream: TcpStream, limits: &Limits) -> io::Result<Opened> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            refuse(stream).await?;
            return Ok(Opened::Plain);
        }
        let stream = Patient::new(stream, limits.write_timeout);
        Ok(Opened::Secure(Box::new(self.acceptor.accept(stream).await?)))
    }

    /// Shows a renewed certificate as soon as it is there. Never ends.
    pub(super) async fn renew_again_and_again(&self, pause: Duration) {
        let mut complaint = None;
        loop {
            tokio::time::sleep(pause).await;
            let certificate = self.certificate.clone();
            match blocking(move || certificate.renew()).await {
                Ok(false) => complaint = None,
                Ok(true) => {
                    complaint = None;
                    let fingerprint = self.certificate.fingerprint();
                    tracing::info!(%fingerprint, "the API shows a renewed certificate");
                }
                Err(error) => {
                    let error = error.to_string();
                    // Once for each thing that is wrong: it is looked at again and again.
                    if complaint.as_ref() != Some(&error) {
                        tracing::error!(error, "the API goes on with the certificate that it had");
                        complaint = Some(error);
                    }
                }
            }
        }
    }
}

/// Says what is wrong, in the words of HTTP.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let text = "this address speaks TLS only: write https:// in place of http://";
    let body = serde_json::to_string(&Problem::from(&ApiError::invalid(text)))
        .expect("invariant: a problem is plain JSON");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: {PROBLEM_TYPE}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    // What is left unread would take the answer away with it.
    let _ = stream.read(&mut [0; 4096]).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
