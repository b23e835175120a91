//! The contract of the store, sentence by sentence, against every backend.

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

/// A backend, with the announcements and the outbox entries it produced.
#[async_trait]
pub(crate) trait Bench: Send + Sync {
    fn store(&self) -> &dyn Store;
    /// From here on, announcements of that session are recorded.
    async fn subscribe(&self, key: &SessionKey);
    /// Every announcement, in order.
    async fn announced(&self) -> Vec<(SessionKey, Position, Bytes)>;
    /// The outbox, in the order of each session.
    async fn entries(&self) -> Vec<Arc<Entry>>;
    /// Acknowledges every entry, as if the ledger held all.
    async fn record_all(&self);
    /// Evicts sessions that have been idle since then, as far as it may.
    async fn evict(&self, idle_since: Timestamp);
    /// Whether commits outlive a process.
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
        a_stale_write_gets_the_newest_and_leaves_no_trace,
        a_write_to_a_missing_session_leaves_no_trace,
        of_many_first_writes_one_is_stored,
        of_racing_writes_each_is_stored_on_the_one_before,
        announcements_and_entries_come_in_the_order_of_the_versions,
        a_repeated_key_is_answered_as_the_first_time,
        an_idempotency_record_lasts_ten_minutes,
        hundreds_of_idempotency_records_are_remembered,
        a_ping_is_answered,
    ]
    due_set: [
        a_deadline_moves_with_its_session,
        due_sessions_come_soonest_first_up_to_the_limit,
        due_sessions_are_those_of_the_given_partitions,
    ]
    retention: [
        an_idle_session_is_found_until_the_ledger_holds_it,
        a_session_that_is_due_is_never_evicted,
        a_deleted_session_stays_as_deleted_until_the_ledger_holds_that,
        a_session_is_restored_once_with_its_deadline_and_records,
        a_restored_session_is_no_write,
        waiting_for_an_entry_ends_when_the_ledger_holds_it,
        once_the_outbox_tail_is_recorded_so_is_all_before_it,
        a_retained_version_stays_until_it_is_released,
        a_retained_session_expires_once_a_later_version_is_recorded,
        answers_wait_for_the_ledger_unless_it_is_away,
    ]
}
