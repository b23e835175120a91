//! Deletions, warnings, large topics.

use std::time::Duration;

use tokio::time::timeout;

use super::house::{House, START, at, next, settings, until, warning, word};
use crate::fanout::{Delivery, Settings};

#[tokio::test]
async fn a_deletion_is_delivered_and_nothing_after_it() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    house.write(at(1, 2));
    house.delete(at(1, 3));
    assert_eq!(next(&mut watcher).await, "update 1-2");
    assert_eq!(next(&mut watcher).await, "update 1-3");
    assert_eq!(next(&mut watcher).await, "deleted");
    assert_eq!(next(&mut watcher).await, "deleted");
    // A later subscriber gets the deletion as well, with or without a position.
    for last in [None, Some(at(1, 1))] {
        let mut late = house.watch(last);
        let mut seen = Vec::new();
        while seen.last().is_none_or(|word| word != "deleted") {
            seen.push(next(&mut late).await);
        }
        assert_eq!(seen[seen.len() - 2..], ["update 1-3", "deleted"]);
    }
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_session_created_again_and_lost_is_missing() {
    let house = House::new(settings());
    house.store(at(2, 3), "");
    let mut stays = house.watch(None);
    assert_eq!(next(&mut stays).await, "sync 2-3");
    // All that is left is its earlier deletion.
    house.delete(at(1, 2));
    house.gap().await;
    assert_eq!(next(&mut stays).await, "missing");
    let mut comes_back = house.watch(Some(at(2, 3)));
    assert_eq!(next(&mut comes_back).await, "missing");
    let mut saw_the_end = house.watch(Some(at(1, 2)));
    assert_eq!([next(&mut saw_the_end).await, next(&mut saw_the_end).await], ["update 1-2", "deleted"]);
    drop((stays, comes_back, saw_the_end));
    house.close().await;
}

#[tokio::test]
async fn a_deletion_that_the_bus_lost_is_found() {
    let house = House::new(settings());
    house.delete(at(1, 3));
    let mut watcher = house.watch(None);
    let Delivery::Update(update) = watcher.next().await else { panic!("an update comes") };
    let frame = std::str::from_utf8(&update.frames[0]).unwrap();
    assert_eq!(frame, r#"{"type":"SESSION_DELETED","session_id":"s","position":"1-3","payload":{}}"#);
    assert_eq!(next(&mut watcher).await, "deleted");
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn the_frames_of_a_write_are_delivered_together() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    let frame = super::house::update(at(1, 2), "");
    house.tell(at(1, 2), format!("{frame}\n{{\"type\":\"TIME_EXPIRED\"}}"));
    let Delivery::Update(update) = watcher.next().await else { panic!("an update comes") };
    assert_eq!(update.frames.len(), 2);
    assert_eq!((&update.frames[0][..], &update.frames[1][..]), (frame.as_bytes(), &br#"{"type":"TIME_EXPIRED"}"#[..]));
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn versions_that_a_snapshot_skips_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let skipped = || {
        let scrape = recorder.handle().render();
        let line =
            scrape.lines().find(|line| line.starts_with("synckairos_snapshots_skipped_total{")).map(str::to_owned);
        line.map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    let house = metrics::with_local_recorder(&recorder, || House::new(settings()));
    house.store(at(1, 7), "");
    // The client has seen version 2 and gets 7: 3 to 6 are skipped. Versions of another epoch do not compare.
    for (last, expected) in
        [(Some(at(1, 2)), Some("4")), (Some(at(0, 2)), Some("4")), (Some(at(1, 6)), Some("4")), (None, Some("4"))]
    {
        let mut watcher = metrics::with_local_recorder(&recorder, || house.watch(last));
        let first =
            futures::future::poll_fn(|context| metrics::with_local_recorder(&recorder, || watcher.poll_next(context)));
        let Delivery::Update(state) = first.await else { panic!("an update comes") };
        assert_eq!(state.position, Some(at(1, 7)));
        assert_eq!(skipped().as_deref(), expected, "{last:?}");
    }
    house.close().await;
}

#[tokio::test]
async fn a_write_missed_while_away_does_not_count_as_lag() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let counted = || recorder.handle().render().contains("synckairos_fanout_lag_seconds_count 1\n");
    let house = metrics::with_local_recorder(&recorder, || House::new(settings()));
    house.store(at(1, 1), "");
    let mut stays = house.watch(None);
    assert_eq!(next(&mut stays).await, "sync 1-1");
    house.write(at(1, 2));
    assert_eq!(next(&mut stays).await, "update 1-2");
    assert!(counted());
    let mut comes_back = house.watch(Some(at(1, 1)));
    assert_eq!(next(&mut comes_back).await, "update 1-2");
    assert!(counted());
    drop((stays, comes_back));
    house.close().await;
}

#[tokio::test]
async fn each_threshold_warns_once_at_its_instant() {
    let house = House::new(settings());
    let edges = [START + 100, START + 200, START + 300].map(warning).join(",");
    house.store(at(1, 1), &edges);
    let mut watcher = house.watch(None);
    assert_eq!(next(&mut watcher).await, "sync 1-1");
    house.write_with(at(1, 2), &edges);
    assert_eq!(next(&mut watcher).await, "update 1-2");
    house.planned(at(1, 2)).await;
    house.clock.advance_ms(99);
    house.clock.advance_ms(1);
    let Delivery::Update(update) = timeout(Duration::from_secs(5), watcher.next()).await.unwrap() else {
        panic!("an update comes")
    };
    let frame: serde_json::Value = serde_json::from_slice(&update.frames[0]).unwrap();
    assert_eq!((&frame["type"], &frame["payload"]["participant_id"]), (&"TIME_WARNING".into(), &"a".into()));
    assert_eq!(frame["payload"]["remaining_ms"], 10);
    assert_eq!((update.position, frame.get("position")), (None, None));
    // The next state names it again, and one that is still to come.
    house.write_with(at(1, 3), &edges);
    assert_eq!(next(&mut watcher).await, "update 1-3");
    house.planned(at(1, 3)).await;
    house.clock.advance_ms(100);
    assert_eq!(next(&mut watcher).await, "warnings 1");
    // A state without warnings takes the last one back.
    house.write(at(1, 4));
    assert_eq!(next(&mut watcher).await, "update 1-4");
    house.write(at(1, 5));
    assert_eq!(next(&mut watcher).await, "update 1-5");
    house.planned(at(1, 5)).await;
    house.clock.advance_ms(1_000);
    house.write(at(1, 6));
    assert_eq!(next(&mut watcher).await, "update 1-6");
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn late_and_resuming_subscribers_get_no_earlier_warnings() {
    let house = House::new(settings());
    house.store(at(1, 1), &warning(START + 100));
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    house.write_with(at(1, 2), &warning(START + 100));
    next(&mut watcher).await;
    house.planned(at(1, 2)).await;
    house.clock.advance_ms(100);
    assert_eq!(next(&mut watcher).await, "warnings 1");
    house.write(at(1, 3));
    assert_eq!(next(&mut watcher).await, "update 1-3");
    let mut back = house.watch(Some(at(1, 1)));
    assert_eq!(next(&mut back).await, "update 1-2");
    assert_eq!(next(&mut back).await, "update 1-3");
    let mut late = house.watch(None);
    assert_eq!(next(&mut late).await, "sync 1-3");
    assert!(late.try_next().is_none());
    drop((watcher, back, late));
    house.close().await;
}

#[tokio::test]
async fn warnings_of_one_instant_go_together_and_partials_move_them() {
    let house = House::new(settings());
    let edge = |id: &str, at: i64| warning(at).replace("\"a\"", &format!("\"{id}\""));
    house.store(at(1, 1), &[edge("a", START + 100), edge("b", START + 100), edge("c", START + 100)].join(","));
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    let moved = format!(r#"{{"participant_id":"b","edges":[{}]}}"#, edge("b", START + 200));
    house.write_partial(at(1, 2), &moved);
    assert_eq!(next(&mut watcher).await, "update 1-2");
    house.planned(at(1, 2)).await;
    for (advance, expected) in [(100, "warnings 2"), (100, "warnings 1")] {
        house.clock.advance_ms(advance);
        assert_eq!(next(&mut watcher).await, expected);
    }
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_subscriber_that_never_reads_delays_no_other() {
    let house = House::new(Settings { ring_entries: 16, ..settings() });
    house.store(at(1, 1), "");
    let mut idle: Vec<_> = (0..1_000).map(|_| house.watch(None)).collect();
    let mut quick = house.watch(None);
    next(&mut quick).await;
    for version in 2..500 {
        house.write(at(1, version));
        assert_eq!(next(&mut quick).await, format!("update 1-{version}"));
    }
    for watcher in &mut idle {
        assert_eq!(word(&watcher.try_next().unwrap()), "sync 1-499");
        assert!(watcher.try_next().is_none());
    }
    drop((idle, quick));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_waiting_subscriber_of_a_crowd_gets_the_last_write() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    let done = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let tasks = crate::shutdown::Shutdown::new();
    for _ in 0..1_000 {
        let (mut watcher, done) = (house.watch(None), std::sync::Arc::clone(&done));
        tasks.spawn("watcher", async move {
            while watcher.position() != Some(at(1, 50)) {
                next(&mut watcher).await;
            }
            done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
    }
    for version in 2..=50 {
        house.write(at(1, version));
        tokio::task::yield_now().await;
    }
    until("all have seen the last", || done.load(std::sync::atomic::Ordering::Relaxed) == 1_000).await;
    tasks.finish(Duration::from_secs(1)).await;
    house.close().await;
}

#[tokio::test]
async fn a_stop_waits_for_the_last_subscriber() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    house.stop();
    house.write(at(1, 2));
    assert_eq!(next(&mut watcher).await, "update 1-2");
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_forgotten_session_leaves_no_planned_warning() {
    let short = Settings { position_check: Duration::from_millis(50), linger: Duration::from_millis(1), ..settings() };
    let house = House::new(short);
    house.store(at(1, 1), &warning(START + 3_600_000));
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    until("its warning is planned", || house.hub.planned_warnings() == 1).await;
    drop(watcher);
    until("it is forgotten", || house.hub.watched() == 0).await;
    until("its warning as well", || house.hub.planned_warnings() == 0).await;
    house.close().await;
}
