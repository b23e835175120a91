//! Heartbeats, outages and runs.

use crate::domain::session::restore::Outage;
use crate::domain::time::Timestamp;
use crate::ledger::run::{Run, RunHistory};
use crate::ledger::{Heartbeats, Ledger};

pub(super) async fn beat(ledger: &dyn Ledger, since: i64, at: i64) {
    ledger.heartbeat(Timestamp::from_ms(since), Timestamp::from_ms(at)).await.unwrap();
}

/// The last heartbeat, and the outage before a store that started then.
pub(super) async fn outage_at(ledger: &dyn Ledger, store_started_at: i64) -> (Option<i64>, Option<(i64, i64)>) {
    let Heartbeats { last_heartbeat, outage } = ledger.heartbeats(Timestamp::from_ms(store_started_at)).await.unwrap();
    (last_heartbeat.map(Timestamp::as_ms), outage.map(|span| (span.from.as_ms(), span.until.as_ms())))
}

pub(super) async fn the_last_heartbeat_never_goes_back(ledger: &dyn Ledger) {
    assert_eq!(outage_at(ledger, 0).await, (None, None));
    for at in [5, 7, 6] {
        beat(ledger, at, at).await;
    }
    assert_eq!(outage_at(ledger, 0).await, (Some(7), None));
}

pub(super) async fn a_heartbeat_after_a_gap_records_an_outage(ledger: &dyn Ledger) {
    beat(ledger, 1_000, 1_000).await;
    beat(ledger, 5_999, 6_000).await;
    assert_eq!(outage_at(ledger, 5_999).await, (Some(6_000), None), "it was short");
    beat(ledger, 40_000, 41_000).await;
    for number in 42..60 {
        beat(ledger, 40_000, number * 1_000).await;
    }
    beat(ledger, 90_000, 90_001).await;
    for (store_started_at, outage) in [
        (999, None),
        (1_000, Some((6_000, 40_000))),
        (39_000, Some((6_000, 40_000))),
        (44_000, Some((6_000, 40_000))),
        (46_000, None),
        (89_000, Some((59_000, 90_000))),
        (200_000, None),
    ] {
        assert_eq!(outage_at(ledger, store_started_at).await, (Some(90_001), outage), "{store_started_at}");
    }
}

pub(super) async fn an_outage_that_a_heartbeat_contradicts_is_deleted(ledger: &dyn Ledger) {
    beat(ledger, 1_000, 1_000).await;
    // An instance that started while the ledger was down is the first to reach it again.
    beat(ledger, 30_000, 31_000).await;
    assert_eq!(outage_at(ledger, 30_000).await, (Some(31_000), Some((1_000, 30_000))));
    beat(ledger, 500, 31_000).await;
    assert_eq!(outage_at(ledger, 30_000).await, (Some(31_000), None));
}

pub(super) async fn the_next_process_knows_how_the_last_one_ended(ledger: &dyn Ledger) {
    let at = Timestamp::from_ms;
    let runs = async |before| ledger.runs(at(before)).await.unwrap();
    assert_eq!(runs(1_000).await, RunHistory::default());
    ledger.open_run(at(1_000)).await.unwrap();
    beat(ledger, 1_000, 9_000).await;
    ledger.close_run(at(1_000), at(8_500)).await.unwrap();
    ledger.open_run(at(20_000)).await.unwrap();
    beat(ledger, 20_000, 20_500).await;
    // No run started then, and a stop before its start: both are ignored.
    ledger.close_run(at(15_000), at(16_000)).await.unwrap();
    ledger.close_run(at(20_000), at(19_000)).await.unwrap();
    ledger.open_run(at(40_000)).await.unwrap();
    let first = Run { started_at: at(1_000), stopped_at: Some(at(8_500)) };
    let second = Run { started_at: at(20_000), stopped_at: None };
    let outages = vec![Outage { from: at(9_000), until: at(20_000) }];
    assert_eq!(runs(40_000).await, RunHistory { runs: vec![first, second], outages: outages.clone() });
    assert_eq!(runs(20_000).await, RunHistory { runs: vec![first], outages: outages.clone() });
    // Another run of the same millisecond reopens it.
    ledger.open_run(at(1_000)).await.unwrap();
    let again = Run { stopped_at: None, ..first };
    assert_eq!(runs(20_000).await, RunHistory { runs: vec![again], outages });
    // Runs older than a year are deleted.
    ledger.open_run(at(400 * 24 * 3_600_000)).await.unwrap();
    assert_eq!(runs(i64::MAX).await.runs.len(), 1);
}
