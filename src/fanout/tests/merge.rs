//! Subscribe, then read, then merge: in order, nothing twice, the newest in the end.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::house::{House, LONG, at, next, settings, snapshot, until, update, word};
use crate::fanout::{Health, NewestState, Settings, Unavailable};

#[tokio::test]
async fn the_state_comes_first_and_then_each_write_in_order() {
    let house = House::new(settings());
    house.store(at(1, 3), "");
    let mut watcher = house.watch(None);
    assert_eq!(watcher.position(), None);
    assert_eq!(next(&mut watcher).await, "sync 1-3");
    for version in 4..200 {
        house.write(at(1, version));
        assert_eq!(next(&mut watcher).await, format!("update 1-{version}"));
    }
    assert_eq!((watcher.position(), house.reads()), (Some(at(1, 199)), 1));
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_write_during_the_read_is_delivered_once() {
    let house = House::new(settings());
    house.store(at(1, 3), "");
    house.truth.gate.forget_permits(1_000);
    let mut watcher = house.watch(None);
    until("the read is under way", || house.reads() == 1).await;
    // The read finds 3, and 4 and 5 are written before its answer arrives.
    house.write_partial(at(1, 4), "");
    house.write_partial(at(1, 5), "");
    house.truth.gate.add_permits(1_000);
    let first = next(&mut watcher).await;
    assert!(["sync 1-3", "sync 1-5"].contains(&first.as_str()), "{first}");
    if first == "sync 1-3" {
        assert_eq!(next(&mut watcher).await, "update 1-4");
        assert_eq!(next(&mut watcher).await, "update 1-5");
    }
    // The bus brings a write that the read has found already.
    house.tell(at(1, 5), update(at(1, 5), ""));
    house.write(at(1, 6));
    assert_eq!(next(&mut watcher).await, "update 1-6");
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_thousand_subscribers_at_once_cost_one_read_and_see_all() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    house.truth.gate.forget_permits(1_000);
    let mut watchers: Vec<_> = (0..1_000).map(|_| house.watch(None)).collect();
    until("the read is under way", || house.reads() == 1).await;
    house.truth.gate.add_permits(1_000);
    for watcher in &mut watchers {
        assert_eq!(next(watcher).await, "sync 1-1");
    }
    for version in 2..12 {
        house.write(at(1, version));
    }
    for watcher in &mut watchers {
        for version in 2..12 {
            assert_eq!(next(watcher).await, format!("update 1-{version}"));
        }
    }
    assert_eq!((house.hub.subscribers(), house.hub.watched(), house.reads()), (1_000, 1, 1));
    drop(watchers);
    assert_eq!(house.hub.subscribers(), 0);
    house.close().await;
}

#[tokio::test]
async fn a_returning_subscriber_gets_the_missed_writes_or_a_sync() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    let mut first = house.watch(None);
    assert_eq!(next(&mut first).await, "sync 1-1");
    for version in 2..6 {
        house.write(at(1, version));
        next(&mut first).await;
    }
    for last in 1..5 {
        let mut back = house.watch(Some(at(1, last)));
        for version in last + 1..6 {
            assert_eq!(next(&mut back).await, format!("update 1-{version}"));
        }
        assert!(back.try_next().is_none());
    }
    let mut uptodate = house.watch(Some(at(1, 5)));
    assert!(uptodate.try_next().is_none());
    assert_eq!(uptodate.position(), Some(at(1, 5)));
    for strange in [at(1, 6), at(1, 0), at(0, 5), at(2, 5), at(i64::MAX, u64::MAX)] {
        assert_eq!(next(&mut house.watch(Some(strange))).await, "sync 1-5", "{strange}");
    }
    first.resume(Some(at(1, 3)));
    assert_eq!(next(&mut first).await, "update 1-4");
    for strange in [Some(at(1, 77)), None] {
        first.resume(strange);
        assert_eq!((first.position(), next(&mut first).await.as_str()), (None, "sync 1-5"), "{strange:?}");
    }
    drop((first, uptodate));
    house.close().await;
}

#[tokio::test]
async fn an_evicted_subscriber_gets_one_sync_and_then_writes() {
    let house = House::new(Settings { ring_entries: 8, ..settings() });
    house.store(at(1, 1), "");
    let (mut slow, mut quick) = (house.watch(None), house.watch(None));
    next(&mut slow).await;
    next(&mut quick).await;
    for version in 2..100 {
        house.write(at(1, version));
        next(&mut quick).await;
    }
    assert_eq!(next(&mut slow).await, "sync 1-99");
    assert!(slow.try_next().is_none());
    house.write(at(1, 100));
    assert_eq!(next(&mut slow).await, "update 1-100");
    assert_eq!(house.reads(), 1);
    drop((slow, quick));
    house.close().await;
}

#[tokio::test]
async fn a_large_frame_evicts_all_others_and_stays() {
    let house = House::new(Settings { ring_bytes: 200, ..settings() });
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    house.write_with(at(1, 2), &super::house::warning(1));
    house.write_with(at(1, 3), &" ".repeat(1_000));
    until("both were received", || word(&house.watch(None).try_next().unwrap()) == "sync 1-3").await;
    assert_eq!(next(&mut watcher).await, "sync 1-3");
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_gap_is_repaired_by_a_read() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    house.store(at(1, 4), "");
    house.gap().await;
    assert_eq!(next(&mut watcher).await, "sync 1-4");
    house.write(at(1, 5));
    assert_eq!(next(&mut watcher).await, "update 1-5");
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_gap_without_a_missed_write_changes_nothing() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    house.gap().await;
    until("it was read again", || house.reads() == 2).await;
    house.write(at(1, 2));
    assert_eq!(next(&mut watcher).await, "update 1-2");
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_missing_version_is_repaired_also_by_a_partial_frame() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    house.write(at(1, 3));
    assert_eq!((next(&mut watcher).await.as_str(), house.reads()), ("sync 1-3", 1));
    house.write_partial(at(1, 5), "");
    assert_eq!((next(&mut watcher).await.as_str(), house.reads()), ("sync 1-5", 2));
    house.write_partial(at(1, 6), "");
    assert_eq!(next(&mut watcher).await, "update 1-6");
    let mut late = house.watch(None);
    assert_eq!(next(&mut late).await, "sync 1-5");
    assert_eq!((next(&mut late).await.as_str(), house.reads()), ("update 1-6", 2));
    drop((watcher, late));
    house.close().await;
}

#[tokio::test]
async fn partial_frames_evict_the_snapshot_and_it_is_read_again() {
    let house = House::new(Settings { ring_entries: 4, ..settings() });
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    for version in 2..20 {
        house.write_partial(at(1, version), "");
        assert_eq!(next(&mut watcher).await, format!("update 1-{version}"));
    }
    let mut late = house.watch(None);
    let mut seen = vec![next(&mut late).await];
    assert!(seen[0].starts_with("sync 1-1"), "{seen:?}");
    while late.position() != Some(at(1, 19)) {
        seen.push(next(&mut late).await);
    }
    assert!(seen.len() <= 5, "{seen:?}");
    drop((watcher, late));
    house.close().await;
}

#[tokio::test]
async fn a_new_epoch_begins_with_a_sync_and_an_old_one_is_ignored() {
    let house = House::new(settings());
    house.store(at(1, 7), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    // Restored at 2-5, then written.
    house.write(at(2, 6));
    assert_eq!(next(&mut watcher).await, "sync 2-6");
    house.tell(at(1, 8), update(at(1, 8), ""));
    house.write(at(2, 7));
    assert_eq!(next(&mut watcher).await, "update 2-7");
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_check_finds_a_write_that_the_bus_lost() {
    let house = House::new(Settings { position_check: Duration::from_millis(50), ..settings() });
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    house.store(at(1, 2), "");
    assert_eq!(next(&mut watcher).await, "sync 1-2");
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn an_outage_of_the_source_shows_and_ends_with_a_read() {
    let house = House::new(settings());
    house.store(at(1, 1), "");
    house.truth.is_down.store(true, Ordering::Relaxed);
    assert_eq!(house.hub.health(), Health::Ok);
    let mut watcher = house.watch(None);
    until("it is noticed", || house.hub.health() != Health::Ok).await;
    assert!(watcher.try_next().is_none());
    house.truth.is_down.store(false, Ordering::Relaxed);
    assert_eq!((next(&mut watcher).await.as_str(), house.hub.health()), ("sync 1-1", Health::Ok));
    drop(watcher);
    house.close().await;
}

#[tokio::test]
async fn a_missing_session_ends_and_is_seen_once_created() {
    let house = House::new(settings());
    let mut early = house.watch(None);
    assert_eq!(next(&mut early).await, "missing");
    house.write(at(1, 1));
    let mut later = house.watch(None);
    assert_eq!(next(&mut later).await, "sync 1-1");
    drop((early, later));
    house.close().await;
}

#[tokio::test]
async fn an_unwatched_session_lingers_and_is_then_forgotten() {
    let short = Settings { position_check: Duration::from_millis(50), linger: Duration::from_millis(1), ..settings() };
    let house = House::new(short);
    house.store(at(1, 1), "");
    let mut watcher = house.watch(None);
    next(&mut watcher).await;
    drop(watcher);
    until("it is forgotten", || house.hub.watched() == 0).await;
    assert_eq!(house.bus.unsubscribed.load(Ordering::Relaxed), 1);
    house.write(at(1, 2));
    assert_eq!(next(&mut house.watch(None)).await, "sync 1-2");
    house.close().await;

    let house = House::new(settings());
    house.store(at(1, 1), "");
    next(&mut house.watch(None)).await;
    house.write(at(1, 2));
    // It lingers: the next subscriber needs no read, and may resume.
    until("the write was received", || word(&house.watch(None).try_next().unwrap()) == "sync 1-2").await;
    assert_eq!((house.hub.watched(), house.reads()), (1, 1));
    house.close().await;
}

#[tokio::test]
async fn a_subscriber_ahead_of_the_instance_sees_nothing_older() {
    let house = House::new(settings());
    house.store(at(1, 3), "");
    let mut here = house.watch(None);
    assert_eq!(next(&mut here).await, "sync 1-3");
    // Another instance writes, and the bus is late.
    house.store(at(1, 5), "");
    let mut ahead = house.watch(Some(at(1, 5)));
    assert!(ahead.try_next().is_none());
    until("the source is read", || house.reads() == 2).await;
    house.tell(at(1, 4), update(at(1, 4), ""));
    house.tell(at(1, 5), update(at(1, 5), ""));
    house.write(at(1, 6));
    for version in 4..=6 {
        assert_eq!(next(&mut here).await, format!("update 1-{version}"));
    }
    assert_eq!(next(&mut ahead).await, "update 1-6");
    drop((here, ahead));
    house.close().await;
}

#[tokio::test]
async fn a_claimed_position_that_was_never_written_costs_one_read() {
    let house = House::new(settings());
    house.store(at(1, 3), "");
    let mut here = house.watch(None);
    assert_eq!(next(&mut here).await, "sync 1-3");
    for claim in [at(1, 4), at(9, 1)] {
        let reads = house.reads();
        let mut watcher = house.watch(Some(claim));
        assert_eq!(next(&mut watcher).await, "sync 1-3");
        assert_eq!(house.reads(), reads + 1);
    }
    drop(here);
    house.close().await;
}

#[tokio::test]
async fn an_up_to_date_subscriber_gets_a_place_and_no_delivery() {
    let house = House::new(settings());
    house.store(at(1, 3), "");
    let mut alone = house.watch(Some(at(1, 3)));
    let placed = poll_fn(|context| alone.poll_placed(context));
    assert!(timeout(LONG, placed).await.expect("it gets a place").is_none());
    assert_eq!((alone.position(), alone.unavailable()), (Some(at(1, 3)), None));
    house.write(at(1, 4));
    assert_eq!(next(&mut alone).await, "update 1-4");
    drop(alone);
    house.close().await;
}

#[tokio::test]
async fn a_subscriber_without_a_place_learns_of_a_failed_read() {
    let house = House::new(settings());
    house.truth.is_down.store(true, Ordering::Relaxed);
    let mut waiting = house.watch(None);
    let failed = poll_fn(|context| match waiting.poll_placed(context) {
        Poll::Ready(placed) => panic!("{placed:?}"),
        Poll::Pending => waiting.unavailable().map_or(Poll::Pending, Poll::Ready),
    });
    assert_eq!(timeout(LONG, failed).await.expect("it is woken"), Unavailable::STORE);
    house.store(at(1, 1), "");
    house.truth.is_down.store(false, Ordering::Relaxed);
    assert_eq!(next(&mut waiting).await, "sync 1-1");
    drop(waiting);
    house.close().await;
}

#[tokio::test]
async fn an_earlier_read_does_not_answer_a_later_doubt() {
    let house = House::new(settings());
    house.store(at(1, 3), "");
    house.truth.gate.forget_permits(1_000);
    let mut ahead = house.watch(Some(at(1, 9)));
    until("it is read", || house.reads() == 1).await;
    let topic = house.hub.shared.topics().get(&house.key).cloned().unwrap();
    // The topic learns of a position, and the subscriber looks, before that read is answered.
    let newest = NewestState { position: at(1, 3), snapshot: snapshot(at(1, 3), ""), is_deleted: false };
    let (_, effects) = topic.finish_read(Some(newest), &settings());
    assert!(ahead.try_next().is_none(), "it has seen more than this, and doubts");
    house.hub.shared.apply(&topic, effects);
    house.truth.gate.add_permits(1_000);
    assert_eq!((next(&mut ahead).await.as_str(), house.reads()), ("sync 1-3", 2));
    drop((ahead, topic));
    house.close().await;
}
