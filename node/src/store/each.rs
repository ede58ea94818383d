//! Many requests at once, and never more than a service should have to bear from one node.

use futures::{StreamExt, stream};

/// Requests for small objects that run at the same time.
pub(super) const REQUESTS_MAX: usize = 32;

/// Runs `request` for every item, up to [`REQUESTS_MAX`] at a time; results in order.
pub(super) async fn for_each<T, R, F>(items: Vec<T>, request: impl Fn(T) -> F) -> Vec<R>
where
    F: Future<Output = R>,
{
    let mut results: Vec<(usize, R)> = stream::iter(items.into_iter().enumerate())
        .map(|(index, item)| {
            let result = request(item);
            async move { (index, result.await) }
        })
        .buffer_unordered(REQUESTS_MAX)
        .collect()
        .await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
