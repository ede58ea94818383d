//! Whose requests pass the gates of stores: jobs share gates, and a budget is one job's.
//!
//! Work on a job is carried out as a whole under its meter; whatever passes a gate meanwhile counts there.

use std::sync::Arc;

use super::meter::Meter;
use crate::store::pace::Gate;

tokio::task_local! {
    static COUNTED: Arc<Meter>;
}

/// Carries out `work`; each request of it to a store counts to `meter`.
pub(crate) async fn counted<T>(meter: Arc<Meter>, work: impl Future<Output = T>) -> T {
    COUNTED.scope(meter, work).await
}

/// Counts a request that passes `gate`; what belongs to no job is counted nowhere.
pub(crate) fn count(gate: &Gate) {
    let _unless_of_no_job = COUNTED.try_with(|meter| meter.add_request(gate));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use airlift_protocol::assignment::End;
    use airlift_protocol::budget::Usage;

    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::pace::Paces;
    use crate::store::{Store, StoreError};

    #[tokio::test]
    async fn a_request_counts_to_the_job_that_it_is_for_at_the_end_where_its_store_is() {
        let paces = Paces::new(8);
        let (source, target) = (paces.of("http://a/x"), paces.of("http://a/y"));
        let (one, other) = (Arc::new(Meter::default()), Arc::new(Meter::default()));
        for meter in [&one, &other] {
            meter.watch_pace(End::Source, &source);
            meter.watch_pace(End::Target, &target);
        }
        let ask =
            async |gate: &Gate| gate.pass(0, async { Ok::<_, StoreError>(()) }).await.unwrap();
        counted(Arc::clone(&one), async {
            ask(&source.reads).await;
            ask(&target.reads).await;
            ask(&target.writes).await;
            tokio::join!(ask(&source.reads), ask(&target.writes));
            counted(Arc::clone(&other), ask(&source.reads)).await;
            let prefix = target.of_prefix("p/", || "http://a/y/p/".to_owned());
            ask(&prefix.writes).await;
            assert!(one.watches(&prefix) && !other.watches(&prefix));
        })
        .await;
        ask(&source.reads).await;
        let requests = |meter: &Meter| {
            let Usage { source_requests, target_requests, .. } = meter.usage();
            (source_requests, target_requests)
        };
        assert_eq!((requests(&one), requests(&other)), ((2, 4), (1, 0)));
        assert!(MemoryStore::default().pace().is_none());
    }
}
