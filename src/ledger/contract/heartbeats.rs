//! Who was there, and when nobody was.

use crate::domain::session::restore::Outage;
use crate::domain::time::Timestamp;
use crate::ledger::run::{Run, RunHistory};
use crate::ledger::{Heartbeats, Ledger};

pub(super) async fn beat(ledger: &dyn Ledger, since: i64, at: i64) {
    ledger.heartbeat(Timestamp::from_ms(since), Timestamp::from_ms(at)).await.unwrap();
}

/// The last beat, and the absence before a store that began to live then.
pub(super) async fn presence(ledger: &dyn Ledger, began: i64) -> (Option<i64>, Option<(i64, i64)>) {
    let Heartbeats { last_heartbeat: last_beat, outage: absence } =
        ledger.heartbeats(Timestamp::from_ms(began)).await.unwrap();
    (last_beat.map(Timestamp::as_ms), absence.map(|span| (span.from.as_ms(), span.until.as_ms())))
}

pub(super) async fn proof_of_life_never_goes_back(ledger: &dyn Ledger) {
    assert_eq!(presence(ledger, 0).await, (None, None));
    for at in [5, 7, 6] {
        beat(ledger, at, at).await;
    }
    assert_eq!(presence(ledger, 0).await, (Some(7), None));
}

pub(super) async fn when_nobody_was_there_is_known_to_who_came_back(ledger: &dyn Ledger) {
    beat(ledger, 1_000, 1_000).await;
    beat(ledger, 5_999, 6_000).await;
    assert_eq!(presence(ledger, 5_999).await, (Some(6_000), None), "it was short");
    beat(ledger, 40_000, 41_000).await;
    for number in 42..60 {
        beat(ledger, 40_000, number * 1_000).await;
    }
    beat(ledger, 90_000, 90_001).await;
    for (began, absence) in [
        (999, None),
        (1_000, Some((6_000, 40_000))),
        (39_000, Some((6_000, 40_000))),
        (44_000, Some((6_000, 40_000))),
        (46_000, None),
        (89_000, Some((59_000, 90_000))),
        (200_000, None),
    ] {
        assert_eq!(presence(ledger, began).await, (Some(90_001), absence), "{began}");
    }
}

pub(super) async fn an_absence_that_somebody_contradicts_is_forgotten(ledger: &dyn Ledger) {
    beat(ledger, 1_000, 1_000).await;
    // One that came while the ledger was away is the first to reach it again.
    beat(ledger, 30_000, 31_000).await;
    assert_eq!(presence(ledger, 30_000).await, (Some(31_000), Some((1_000, 30_000))));
    beat(ledger, 500, 31_000).await;
    assert_eq!(presence(ledger, 30_000).await, (Some(31_000), None));
}

pub(super) async fn how_a_process_ended_is_known_to_the_next(ledger: &dyn Ledger) {
    let at = Timestamp::from_ms;
    let runs = async |before| ledger.runs(at(before)).await.unwrap();
    assert_eq!(runs(1_000).await, RunHistory::default());
    ledger.open_run(at(1_000)).await.unwrap();
    beat(ledger, 1_000, 9_000).await;
    ledger.close_run(at(1_000), at(8_500)).await.unwrap();
    ledger.open_run(at(20_000)).await.unwrap();
    beat(ledger, 20_000, 20_500).await;
    // None that began then, and a stop before the beginning: neither is one.
    ledger.close_run(at(15_000), at(16_000)).await.unwrap();
    ledger.close_run(at(20_000), at(19_000)).await.unwrap();
    ledger.open_run(at(40_000)).await.unwrap();
    let first = Run { began: at(1_000), stopped: Some(at(8_500)) };
    let second = Run { began: at(20_000), stopped: None };
    let absences = vec![Outage { from: at(9_000), until: at(20_000) }];
    assert_eq!(runs(40_000).await, RunHistory { runs: vec![first, second], absences: absences.clone() });
    assert_eq!(runs(20_000).await, RunHistory { runs: vec![first], absences: absences.clone() });
    // Another that began in the same millisecond is one that has not stopped.
    ledger.open_run(at(1_000)).await.unwrap();
    let again = Run { stopped: None, ..first };
    assert_eq!(runs(20_000).await, RunHistory { runs: vec![again], absences });
    // After more than a year nobody looks back.
    ledger.open_run(at(400 * 24 * 3_600_000)).await.unwrap();
    assert_eq!(runs(i64::MAX).await.runs.len(), 1);
}
