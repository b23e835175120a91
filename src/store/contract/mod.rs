//! The promise of the store, sentence by sentence, against every backend.

mod bench;
mod commits;
mod due_set;
pub(crate) mod fixtures;
mod retention;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::Store;
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

/// A backend, and what stands around it: what it told the bus, what it left for the ledger.
#[async_trait]
pub(crate) trait Bench: Send + Sync {
    fn store(&self) -> &dyn Store;
    /// From here on, what is announced of that session is remembered.
    async fn listen(&self, key: &SessionKey);
    /// Everything that was announced, in order.
    async fn announced(&self) -> Vec<(SessionKey, Position, Bytes)>;
    /// Everything that waits for the ledger, in the order of each session.
    async fn waiting(&self) -> Vec<Arc<Entry>>;
    /// The ledger holds all of it now.
    async fn record_all(&self);
    /// Lets go of what has been idle since then, as far as it may.
    async fn evict(&self, idle_since: Timestamp);
    /// Whether what was committed outlives a process.
    fn outlives_processes(&self) -> bool;
}

/// Every sentence, once for each backend.
macro_rules! contract {
    ($($file:ident: [$($sentence:ident,)*])*) => {
        mod memory {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    super::$file::$sentence(&super::bench::Memory::new()).await;
                }
            )*)*
        }
        mod redis {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    super::$file::$sentence(&super::bench::InRedis::plain().await).await;
                }
            )*)*
        }
        mod redis_cluster {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    super::$file::$sentence(&super::bench::InRedis::cluster().await).await;
                }
            )*)*
        }
    };
}

contract! {
    commits: [
        a_write_is_stored_announced_and_audited_in_one_step,
        a_stale_write_is_told_the_newest_and_leaves_no_trace,
        a_write_to_what_is_not_held_leaves_no_trace,
        of_many_first_writes_one_is_stored,
        of_racing_writes_each_is_stored_on_the_one_before,
        announcements_and_entries_come_in_the_order_of_the_versions,
        a_repeated_key_is_answered_as_the_first_time,
        an_answer_is_remembered_for_ten_minutes,
        hundreds_of_answers_are_remembered,
        it_answers,
    ]
    due_set: [
        a_deadline_moves_with_its_session,
        what_is_due_comes_soonest_first_and_no_more_than_asked_for,
        what_is_due_is_told_of_the_partitions_asked_for,
    ]
    retention: [
        an_idle_session_is_found_until_the_ledger_holds_it,
        what_something_will_happen_to_is_never_let_go,
        a_deleted_session_stays_as_deleted_until_the_ledger_holds_that,
        a_restored_session_is_taken_once_with_its_deadline_and_answers,
        a_restored_session_is_no_write,
        recorded_returns_when_the_ledger_holds_it_and_not_before,
        once_the_newest_that_waits_is_recorded_all_before_it_is,
        what_the_ledger_refused_is_kept_until_it_is_released,
        what_was_kept_goes_as_any_other_once_a_later_version_is_in_the_ledger,
        answers_keep_in_step_with_the_ledger_unless_it_is_away,
    ]
}
