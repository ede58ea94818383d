//! No secret in the log: what only a joining node and its user know is in no entry.

use super::{Found, broken};

/// How every secret of a simulated life begins.
pub(crate) const CANARY: &[u8; 24] = b"canary: never log this! ";

/// Looks through an entry.
pub(crate) fn look(entry: &[u8]) -> Found {
    let has_secret = entry.windows(CANARY.len()).any(|window| window == CANARY);
    if has_secret {
        return broken("no secret in the log", "an entry has a join token's".to_owned(), vec![]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_is() {
        assert!(look(b"nothing here that is longer than the canary").is_ok());
        let with = [b"x".as_slice(), CANARY, b"y"].concat();
        assert!(look(&with).is_err());
    }
}
