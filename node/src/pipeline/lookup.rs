//! Looking up keys at the target whose order is not that of the source.

use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;

use super::Transfer;
use crate::store::StoreError;

/// What the target has under each of `keys`, in their order. Escaped keys have another order than the
/// keys they stand for, and a store wants them ascending.
pub(super) async fn lookup(
    transfer: &Transfer,
    keys: Vec<Key>,
) -> Vec<Result<Option<Entry>, StoreError>> {
    if keys.is_sorted() {
        return transfer.at_target(transfer.target.lookup(keys)).await;
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|&a, &b| keys[a].cmp(&keys[b]));
    let ascending = order.iter().map(|&place| keys[place].clone()).collect();
    let found = transfer.at_target(transfer.target.lookup(ascending)).await;
    let mut placed: Vec<(usize, Result<Option<Entry>, StoreError>)> =
        order.into_iter().zip(found).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, found)| found).collect()
}
