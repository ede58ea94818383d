//! A page of the source's listing while some of its objects have not come to their end.

use airlift_protocol::bitmap::Bitmap;
use serde::{Deserialize, Serialize};

/// Progress over one page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageProgress {
    /// Whether it is known which entries have to move (verify: are to be compared).
    pub is_compared: bool,
    /// Entries that have to move and that no one has been given.
    pub todo: Bitmap,
    /// Entries that have not come to their end.
    pub pending: Bitmap,
}

impl PageProgress {
    /// A page of `len` entries that was just listed.
    pub(super) fn listed(len: u16) -> Self {
        Self { is_compared: false, todo: Bitmap::new(), pending: Bitmap::full(len) }
    }
}
