//! How long the ledger takes, by operation and backend.

use std::future::Future;

use tokio::time::Instant;

use crate::telemetry::metrics::LEDGER_OPERATION_DURATION_SECONDS;

/// Measures `work`, whatever comes of it.
pub(super) async fn timed<T>(operation: &'static str, backend: &'static str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    metrics::histogram!(LEDGER_OPERATION_DURATION_SECONDS, "operation" => operation, "backend" => backend)
        .record(begun.elapsed());
    done
}
