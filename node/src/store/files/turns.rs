//! Turns to write into one file.
//!
//! Linux holds a lock of the file while it takes in buffered bytes, and who waits for that lock spins on a
//! CPU that could read or hash meanwhile. So writers of one file take turns here, where waiting costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use airlift_protocol::assignment::UploadToken;

/// The right to write into one file, held while bytes are handed to the system.
pub(super) type Turn = tokio::sync::Mutex<()>;

/// The turns of all files that are being written.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<UploadToken, Weak<Turn>>>);

impl Turns {
    /// The turn of the file that `token` names: the same one for as long as anybody holds it.
    pub(super) fn of(&self, token: &UploadToken) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(token).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(token.clone(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_turn_while_somebody_holds_it() {
        let turns = Turns::default();
        let (one, other) = (UploadToken("one".to_owned()), UploadToken("other".to_owned()));
        let held = turns.of(&one);
        assert!(Arc::ptr_eq(&held, &turns.of(&one)));
        assert!(!Arc::ptr_eq(&held, &turns.of(&other)));
        drop(held);
        let _held = turns.of(&other);
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
