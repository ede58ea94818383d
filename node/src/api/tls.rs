//! TLS of the API: the certificate that a node shows, and how a client knows it.
//!
//! An operator's certificate is read from files, again and again, so that a renewed one is shown without
//! a restart. Without one a node makes its own, which no authority has signed: clients pin it by its
//! [`Fingerprint`].

mod certificate;
mod fingerprint;
mod pin;

pub use self::certificate::{Certificate, CertificateFiles, TlsError};
pub use self::fingerprint::Fingerprint;
pub(super) use self::pin::pinned;
