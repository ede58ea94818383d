//! The conformance suite: what every store promises, one async function a property.
//!
//! A store joins by implementing [`Place`] and naming it in [`conformance!`](crate::conformance!),
//! which makes one test of each property. Properties know a store by its trait and its
//! capabilities only; what is peculiar to one store is tested beside that store.

pub mod fixture;
pub mod listing;
pub mod reading;
pub mod removing;
pub mod sums;
pub mod uploads;
pub mod writing;

use airlift_node::store::{AttributeSet, Store};
use airlift_protocol::key::Key;
use async_trait::async_trait;

/// A location that was empty when the property began, and what a test does to it from outside.
#[async_trait]
pub trait Place: Send + Sync {
    /// Another handle on the location, for the same job, as a process started later would have.
    async fn open(&self) -> Box<dyn Store>;

    /// A store that puts objects there and deletes them: another one where the store under test only
    /// reads.
    async fn writer(&self) -> Box<dyn Store> {
        self.open().await
    }

    /// Replaces the bytes under `key`, or puts them there, as another program would.
    async fn overwrite(&self, key: &Key, bytes: &[u8]);

    /// Names of everything that stands at the location beside objects: staged files, uploads.
    async fn leftovers(&self) -> Vec<String>;

    /// Objects of a long listing: more than a batch of one has.
    fn many(&self) -> usize {
        2300
    }

    /// Whether the program that serves the place refuses `key`, though the store may write it.
    fn refuses(&self, _key: &Key) -> bool {
        false
    }

    /// What the program that serves the place forgets of an object, though its store would keep it.
    fn forgets(&self) -> AttributeSet {
        AttributeSet::NONE
    }
}

/// Makes a module of tests, one for each property of the suite.
///
/// `conformance!(memory, MemoryPlace::new())`: the name of the module, and an expression for a
/// future of an empty [`Place`](crate::conformance::Place), evaluated once for each test.
/// `conformance!(optional moto, …)`: the future gives `None` where the place cannot be made on this
/// machine, and says so; the tests then pass without having tested anything.
/// `conformance!(source webdav, …)`: the same for a store that is a source only, with everything that
/// a source promises.
#[macro_export]
macro_rules! conformance {
    ($module:ident, $place:expr) => {
        $crate::conformance! { @module $module; async { Some($place.await) } }
    };
    (optional $module:ident, $place:expr) => {
        $crate::conformance! { @module $module; $place }
    };
    (source $module:ident, $place:expr) => {
        mod $module {
            use super::*;

            $crate::conformance! { @tests $place;
                listing::a_listing_has_every_key_in_byte_order,
                listing::a_listing_honours_its_bounds,
                listing::a_long_listing_comes_in_batches_and_loses_nothing,
                listing::a_listing_ends_when_nobody_listens,
                listing::a_lookup_says_what_a_listing_says,
                reading::small_objects_come_back_as_they_were_put,
                reading::ranges_come_chunk_by_chunk,
                reading::an_object_that_changed_is_not_read_as_the_listed_one,
                reading::an_object_that_is_gone_is_an_error_of_its_own,
                reading::zeros_come_back_as_zeros,
            }
        }
    };
    (@module $module:ident; $place:expr) => {
        mod $module {
            use super::*;

            $crate::conformance! { @tests $place;
                listing::a_listing_has_every_key_in_byte_order,
                listing::a_listing_honours_its_bounds,
                listing::a_long_listing_comes_in_batches_and_loses_nothing,
                listing::a_listing_ends_when_nobody_listens,
                listing::a_lookup_says_what_a_listing_says,
                reading::small_objects_come_back_as_they_were_put,
                reading::ranges_come_chunk_by_chunk,
                reading::an_object_that_changed_is_not_read_as_the_listed_one,
                reading::an_object_that_is_gone_is_an_error_of_its_own,
                reading::zeros_come_back_as_zeros,
                writing::an_object_replaces_the_one_before,
                writing::an_error_of_one_object_spares_the_others,
                writing::odd_keys_arrive_exactly_or_are_named,
                writing::a_directory_marker_comes_back_as_one,
                writing::links_come_back_where_the_store_keeps_them,
                writing::times_and_modes_are_kept_where_the_store_keeps_them,
                writing::whatever_the_store_keeps_comes_back,
                uploads::an_upload_is_invisible_until_it_is_committed,
                uploads::parts_may_be_written_in_any_order_and_at_once,
                uploads::an_upload_is_taken_up_where_it_stopped,
                uploads::a_lost_upload_is_begun_anew,
                uploads::a_lost_upload_is_said_to_be_lost,
                uploads::a_commit_may_be_repeated,
                uploads::zeros_of_an_upload_arrive_as_zeros,
                uploads::a_committed_upload_replaces_the_object_before,
                uploads::bits_that_no_source_says_are_those_of_a_small_object,
                removing::only_what_still_is_as_listed_is_deleted,
                removing::deleting_what_is_gone_is_no_error,
                removing::a_discarded_upload_leaves_nothing,
                removing::an_upload_that_nobody_remembers_can_be_discarded,
                removing::clean_leaves_objects_and_nothing_else,
                sums::a_sum_that_a_store_keeps_is_that_of_the_bytes,
                sums::an_object_that_changed_has_no_sums_of_the_listed_one,
            }
        }
    };
    (@tests $place:expr; $($group:ident::$property:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                let Some(place) = $place.await else { return };
                $crate::conformance::$group::$property(&place).await;
            }
        )*
    };
}
