//! What a certificate is known by.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// What stands before the digits.
const PREFIX: &str = "sha256:";

/// The SHA-256 hash of a certificate, as `openssl x509 -fingerprint -sha256` prints it too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of `certificate`.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate.as_ref()).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads `sha256:` and 64 hexadecimal digits, with colons between pairs or without.
impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(PREFIX).map(|digits| digits.replace(':', ""));
        let bytes = digits.and_then(|digits| HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok());
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| format!("a fingerprint is written {PREFIX} and 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_printed_here_and_by_openssl() {
        let fingerprint = Fingerprint::of(&CertificateDer::from(b"abc".to_vec()));
        let text = fingerprint.to_string();
        assert!(text.starts_with("sha256:ba7816bf8f01"), "{text}");
        assert_eq!(text.parse(), Ok(fingerprint));
        let pairs: Vec<String> = text["sha256:".len()..]
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).to_uppercase())
            .collect();
        assert_eq!(format!("sha256:{}", pairs.join(":")).parse(), Ok(fingerprint));
        for text in ["", "sha256:", "sha256:00", "md5:00", &text[7..]] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
