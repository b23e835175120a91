//! One test for each promise of the ledger, for every backend.

mod backends;
mod control;
mod dead_letters;
mod deployments;
mod fixtures;
mod heartbeats;
mod pages;

use bytes::Bytes;
use serde_json::json;

use self::backends::{Postgres, Sqlite};
use self::control::{
    a_change_of_settings_is_all_or_nothing_and_has_a_revision, a_repeat_of_a_change_is_recognised,
    changes_are_read_on_from_a_revision, of_concurrent_changes_each_has_a_revision_of_its_own,
    revocations_stand_until_they_end_or_are_taken_back, security_events_come_newest_first_and_are_forgotten,
};
use self::dead_letters::{
    a_dead_letter_is_added_once, any_text_fits, dead_letters_come_in_pages_unchanged_and_can_be_removed,
    dead_letters_of_a_session_come_newest_first,
};
use self::deployments::{an_owner_stays_until_a_take_over, of_concurrent_claims_one_holds};
use self::fixtures::{as_row, chain, changed, entry, epoch_of, first, ids, key, positions};
use self::heartbeats::{
    a_heartbeat_after_a_gap_records_an_outage, an_outage_that_a_heartbeat_contradicts_is_deleted, beat, outage_at,
    the_last_heartbeat_never_goes_back, the_next_process_knows_how_the_last_one_ended,
};
use self::pages::{
    a_history_page_ends_where_its_changes_are_long, a_list_page_ends_where_its_bodies_are_long,
    history_pages_split_no_position, the_last_page_has_no_more,
};
use super::{Error, Filter, Ledger};
use crate::domain::chain::Digest;
use crate::domain::id::{SessionId, TenantId};
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::time::Timestamp;

macro_rules! contract {
    ($($backend:ident: $database:ident),*; $promises:tt) => {
        $(contract! { @one $backend: $database; $promises })*
    };
    (@one $backend:ident: $database:ident; { $($promise:ident,)* }) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $promise() {
                    let database = super::$database::new().await;
                    let ledger = database.open().await;
                    super::$promise(&ledger).await;
                    super::Ledger::close(&ledger).await;
                }
            )*

            #[tokio::test]
            async fn a_restart_keeps_everything() {
                let database = super::$database::new().await;
                super::fill(&database.open().await).await;
                super::check_kept(&database.open().await).await;
            }
        }
    };
}

contract! { sqlite: Sqlite, postgres: Postgres; {
    a_repeat_changes_nothing,
    of_concurrent_claims_one_holds,
    an_owner_stays_until_a_take_over,
    a_batch_is_all_or_nothing,
    an_unreadable_body_is_refused_in_any_batch,
    a_fork_is_kept_and_counted,
    the_newest_row_never_goes_back,
    a_shed_body_leaves_its_link,
    versions_are_those_of_the_lineage,
    an_abandoned_epoch_is_superseded,
    a_missing_link_does_not_hide_earlier_versions,
    a_fork_survives_on_the_side_that_went_on,
    an_instant_finds_the_newest_version_of_its_time,
    history_pages_split_no_position,
    a_history_page_ends_where_its_changes_are_long,
    a_list_page_ends_where_its_bodies_are_long,
    the_last_page_has_no_more,
    lists_hold_the_tenants_sessions_by_id,
    lists_exclude_deleted_sessions_by_default,
    lists_filter_by_attributes,
    metadata_is_compared_as_text_and_never_as_sql,
    due_sessions_come_soonest_first,
    idempotency_records_are_those_of_the_lineage,
    a_dead_letter_is_added_once,
    dead_letters_come_in_pages_unchanged_and_can_be_removed,
    dead_letters_of_a_session_come_newest_first,
    any_text_fits,
    the_last_heartbeat_never_goes_back,
    a_heartbeat_after_a_gap_records_an_outage,
    an_outage_that_a_heartbeat_contradicts_is_deleted,
    the_next_process_knows_how_the_last_one_ended,
    a_change_of_settings_is_all_or_nothing_and_has_a_revision,
    of_concurrent_changes_each_has_a_revision_of_its_own,
    a_repeat_of_a_change_is_recognised,
    changes_are_read_on_from_a_revision,
    revocations_stand_until_they_end_or_are_taken_back,
    security_events_come_newest_first_and_are_forgotten,
    a_closed_ledger_is_unavailable,
}}

async fn a_repeat_changes_nothing(ledger: &dyn Ledger) {
    let entries = chain("a", 1, 1..=200, Digest::NONE);
    assert_eq!(ledger.record(&entries[..150]).await.unwrap().new, 150);
    let again = ledger.record(&entries).await.unwrap();
    assert_eq!((again.new, again.forks.len()), (50, 0));
    assert_eq!(ledger.record(&entries).await.unwrap().new, 0);
    assert_eq!(positions(ledger, "a").await.len(), 200);
    assert_eq!(ledger.newest(&key("a")).await.unwrap(), Some(as_row(&entries[199])));
    assert_eq!(ledger.newest(&key("b")).await.unwrap(), None);
}

async fn a_batch_is_all_or_nothing(ledger: &dyn Ledger) {
    let mut entries = chain("a", 1, 1..=100, Digest::NONE);
    entries[99] = changed(&entries[99], |entry| entry.link.position.version = 0);
    assert!(matches!(ledger.record(&entries).await, Err(Error::Refused(_))));
    assert_eq!(positions(ledger, "a").await, []);
    assert_eq!(ledger.newest(&key("a")).await.unwrap(), None);
    assert_eq!(ledger.record(&entries[..99]).await.unwrap().new, 99);
}

async fn an_unreadable_body_is_refused_in_any_batch(ledger: &dyn Ledger) {
    let entries = chain("a", 1, 1..=3, Digest::NONE);
    for bad in [&b"no json"[..], b"{}", b"\xff\xfe", b"[1]"] {
        let bad = changed(&entries[1], |entry| entry.body = Some(Bytes::from(bad)));
        assert!(matches!(ledger.record(std::slice::from_ref(&bad)).await, Err(Error::Refused(_))));
        let batch = [entries[0].clone(), bad, entries[2].clone()];
        assert!(matches!(ledger.record(&batch).await, Err(Error::Refused(_))));
    }
    let bad = changed(&entries[1], |entry| entry.link.position.version = u64::MAX);
    assert!(matches!(ledger.record(&[bad]).await, Err(Error::Refused(_))));
    assert_eq!(positions(ledger, "a").await, []);
}

async fn a_fork_is_kept_and_counted(ledger: &dyn Ledger) {
    let one = chain("a", 1, 1..=2, Digest::NONE);
    let other = entry("a", 1, 2, one[0].link.digest(), &json!({ "other": "life" }));
    ledger.record(&one).await.unwrap();
    let recorded = ledger.record(&[other.clone(), first("b", &json!({}))]).await.unwrap();
    assert_eq!((recorded.new, recorded.forks), (2, vec![key("a")]));
    assert_eq!(ledger.record(&[other]).await.unwrap().forks, []);
    assert_eq!(positions(ledger, "a").await, [(1, 1, false), (1, 2, false), (1, 2, true)]);
    assert_eq!(ledger.newest(&key("a")).await.unwrap(), Some(as_row(&one[1])));

    let within = [first("c", &json!({ "x": 1 })), first("c", &json!({ "x": 2 }))];
    assert_eq!(ledger.record(&within).await.unwrap().forks, [key("c")]);
}

async fn the_newest_row_never_goes_back(ledger: &dyn Ledger) {
    let old = chain("a", 1, 1..=9, Digest::NONE);
    let new = chain("a", 2, 5..=5, old[3].link.digest());
    ledger.record(&new).await.unwrap();
    ledger.record(&old).await.unwrap();
    assert_eq!(ledger.newest(&key("a")).await.unwrap(), Some(as_row(&new[0])));
    let mut backwards = chain("b", 1, 1..=9, Digest::NONE);
    backwards.reverse();
    ledger.record(&backwards).await.unwrap();
    assert_eq!(ledger.newest(&key("b")).await.unwrap(), Some(as_row(&backwards[0])));
}

async fn a_shed_body_leaves_its_link(ledger: &dyn Ledger) {
    let entries = chain("a", 1, 1..=3, Digest::NONE);
    let shed = changed(&entries[1], |entry| entry.body = None);
    ledger.record(&[entries[0].clone(), shed.clone()]).await.unwrap();
    assert_eq!(ledger.newest(&key("a")).await.unwrap(), Some(as_row(&entries[0])));
    ledger.record(&entries[2..]).await.unwrap();
    assert_eq!(ledger.newest(&key("a")).await.unwrap(), Some(as_row(&entries[2])));
    assert_eq!(ledger.version(&key("a"), 2).await.unwrap(), Some(as_row(&shed)));
}

async fn versions_are_those_of_the_lineage(ledger: &dyn Ledger) {
    let old = chain("a", 1, 1..=7, Digest::NONE);
    let new = chain("a", 5, 5..=6, old[3].link.digest());
    ledger.record(&old).await.unwrap();
    ledger.record(&new).await.unwrap();
    let superseded = [(1, 5, true), (1, 6, true), (1, 7, true), (5, 5, false), (5, 6, false)];
    assert_eq!(positions(ledger, "a").await[4..], superseded);
    assert!(positions(ledger, "a").await[..4].iter().all(|row| !row.2));
    let epochs = [epoch_of(ledger, 4).await, epoch_of(ledger, 5).await, epoch_of(ledger, 6).await];
    assert_eq!(epochs, [Some(1), Some(5), Some(5)]);
    assert_eq!([epoch_of(ledger, 0).await, epoch_of(ledger, 7).await], [None, None]);
    assert_eq!(ledger.version(&key("a"), u64::MAX).await.unwrap(), None);
}

async fn an_abandoned_epoch_is_superseded(ledger: &dyn Ledger) {
    let one = chain("a", 1, 1..=5, Digest::NONE);
    let abandoned = chain("a", 2, 3..=9, one[1].link.digest());
    let new = chain("a", 3, 6..=7, one[4].link.digest());
    for entries in [&one, &abandoned, &new] {
        ledger.record(entries).await.unwrap();
    }
    let rows = positions(ledger, "a").await;
    assert!(rows.iter().all(|(epoch, _, superseded)| *superseded == (*epoch == 2)));
    let epochs = [epoch_of(ledger, 4).await, epoch_of(ledger, 6).await, epoch_of(ledger, 8).await];
    assert_eq!(epochs, [Some(1), Some(3), None]);
}

async fn a_missing_link_does_not_hide_earlier_versions(ledger: &dyn Ledger) {
    let one = chain("a", 1, 1..=5, Digest::NONE);
    let new = chain("a", 2, 5..=6, one[3].link.digest());
    ledger.record(&one[..3]).await.unwrap();
    ledger.record(&new).await.unwrap();
    assert_eq!([epoch_of(ledger, 3).await, epoch_of(ledger, 4).await], [Some(1), None]);
    assert!(positions(ledger, "a").await.iter().all(|row| !row.2));
}

async fn a_fork_survives_on_the_side_that_went_on(ledger: &dyn Ledger) {
    let one = chain("a", 1, 1..=3, Digest::NONE);
    let other = entry("a", 1, 2, one[0].link.digest(), &json!({ "other": "life" }));
    let after = chain("a", 1, 3..=4, other.link.digest());
    ledger.record(&one).await.unwrap();
    ledger.record(std::slice::from_ref(&other)).await.unwrap();
    assert_eq!(ledger.record(&after).await.unwrap().forks, [key("a")]);
    assert_eq!(ledger.version(&key("a"), 2).await.unwrap(), Some(as_row(&other)));
    assert_eq!(ledger.version(&key("a"), 3).await.unwrap(), Some(as_row(&after[0])));
    let superseded: Vec<_> = positions(ledger, "a").await.into_iter().map(|row| (row.1, row.2)).collect();
    assert_eq!(superseded, [(1, false), (2, true), (2, false), (3, true), (3, false), (4, false)]);
}

async fn an_instant_finds_the_newest_version_of_its_time(ledger: &dyn Ledger) {
    let old = chain("a", 1, 1..=7, Digest::NONE);
    ledger.record(&old).await.unwrap();
    // Restored after an outage, from before the last version of the old epoch.
    let late = changed(&chain("a", 2, 5..=5, old[3].link.digest())[0], |entry| {
        entry.link.at = Timestamp::from_ms(100);
    });
    ledger.record(&[late]).await.unwrap();
    let mut newest = Vec::new();
    for at in [9, 10, 19, 20, 49, 50, 79, 99, 100, i64::MAX] {
        let row = ledger.at(&key("a"), Timestamp::from_ms(at)).await.unwrap();
        newest.push(row.map(|row| (row.link.position.epoch, row.link.position.version)));
    }
    let one = |version| Some((1, version));
    let expected = [None, one(1), one(1), one(2), one(4), one(4), one(4), one(4), Some((2, 5)), Some((2, 5))];
    assert_eq!(newest, expected);
    assert_eq!(ledger.at(&key("b"), Timestamp::from_ms(50)).await.unwrap(), None);
}

async fn lists_hold_the_tenants_sessions_by_id(ledger: &dyn Ledger) {
    let foreign = changed(&first("b", &json!({})), |entry| entry.key.tenant = TenantId::new("other").unwrap());
    let mut entries: Vec<_> = ["d", "a", "c"].map(|session| first(session, &json!({}))).into();
    entries.push(foreign);
    ledger.record(&entries).await.unwrap();
    assert_eq!(ids(ledger, &Filter::default()).await, ["a", "c", "d"]);
    let (tenant, after) = (TenantId::new("acme").unwrap(), SessionId::new("a").unwrap());
    let page = ledger.sessions(&tenant, &Filter::default(), Some(&after), 1).await.unwrap();
    assert_eq!((page.rows, page.has_more), (vec![as_row(&entries[2])], true));
    assert_eq!(ledger.newest(&key("b")).await.unwrap(), None);
}

async fn lists_exclude_deleted_sessions_by_default(ledger: &dyn Ledger) {
    let gone = first("a", &json!({ "status": "deleted", "due_at": 5 }));
    ledger.record(&[gone.clone(), first("b", &json!({}))]).await.unwrap();
    assert_eq!(ids(ledger, &Filter::default()).await, ["b"]);
    let deleted = Filter { status: Some("deleted".into()), ..Filter::default() };
    assert_eq!(ids(ledger, &deleted).await, ["a"]);
    assert_eq!(ledger.newest(&key("a")).await.unwrap(), Some(as_row(&gone)));
    assert_eq!(ledger.due(None, Timestamp::NEVER, 10).await.unwrap(), []);
}

async fn lists_filter_by_attributes(ledger: &dyn Ledger) {
    let who = json!([{ "participant_id": "white", "more": 1 }, { "participant_id": "black" }]);
    let entries = [
        first("a", &json!({ "status": "paused", "participants": who })),
        first("b", &json!({ "sync_mode": "count_up", "updated_at": 77 })),
        first("c", &json!({ "participants": [{ "participant_id": "whit" }] })),
    ];
    ledger.record(&entries).await.unwrap();
    let all = Filter::default;
    let only = |ids: &[&str]| Some(ids.iter().map(|id| SessionId::new(id).unwrap()).collect());
    let cases: [(Filter, &[&str]); 9] = [
        (Filter { status: Some("paused".into()), ..all() }, &["a"]),
        (Filter { sync_mode: Some("count_up".into()), ..all() }, &["b"]),
        (Filter { participant_id: Some("white".into()), ..all() }, &["a"]),
        (Filter { participant_id: Some("\" or 1=1 --".into()), ..all() }, &[]),
        (Filter { updated_after: Some(Timestamp::from_ms(76)), ..all() }, &["b"]),
        (Filter { updated_after: Some(Timestamp::from_ms(77)), ..all() }, &[]),
        (Filter { sessions: only(&["c", "a", "z"]), ..all() }, &["a", "c"]),
        (Filter { sessions: only(&[]), ..all() }, &[]),
        (Filter { status: Some("running".into()), sync_mode: Some("global".into()), ..all() }, &["c"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(ledger, &filter).await, expected, "{filter:?}");
    }
}

async fn metadata_is_compared_as_text_and_never_as_sql(ledger: &dyn Ledger) {
    let odd = json!({
        "plain": "x", "a.b": "dots", "it's": "a 'quote'", "say \"hi\"": "\\", "ключ": "значение", "": "empty",
        "$.plain": "path", "number": 3, "real": 1.50, "yes": true, "none": null, "deep": { "a": [1, "2"] },
        "'; drop table session; --": "bobby", "tab\t\n": "\u{1}", "😀": "👍",
    });
    ledger.record(&[first("a", &json!({ "metadata": odd })), first("b", &json!({}))]).await.unwrap();
    let equal = |name: &str, text: &str| Filter { metadata: vec![(name.into(), text.into())], ..Filter::default() };
    for (name, value) in odd.as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(ids(ledger, &equal(name, &text)).await, ["a"], "{name}");
        assert!(ids(ledger, &equal(name, "else")).await.is_empty(), "{name}");
    }
    for (name, text) in [("plain' or '1'='1", "x"), ("a", "dots"), ("deep.a", "2"), ("%", "x"), ("PLAIN", "x")] {
        assert!(ids(ledger, &equal(name, text)).await.is_empty(), "{name}");
    }
    let both = vec![("plain".into(), "x".into()), ("number".into(), "3".into())];
    assert_eq!(ids(ledger, &Filter { metadata: both, ..Filter::default() }).await, ["a"]);
}

async fn due_sessions_come_soonest_first(ledger: &dyn Ledger) {
    let due = |session, at: Option<i64>| first(session, &json!({ "due_at": at }));
    let entries = [due("a", Some(300)), due("b", None), due("c", Some(100)), due("d", Some(200)), due("e", Some(301))];
    ledger.record(&entries).await.unwrap();
    let until = Timestamp::from_ms(300);
    let at = |session, ms| (Timestamp::from_ms(ms), key(session));
    let all = [at("c", 100), at("d", 200), at("a", 300)];
    assert_eq!(ledger.due(None, until, 10).await.unwrap(), all);
    assert_eq!(ledger.due(None, until, 1).await.unwrap(), all[..1]);
    assert_eq!(ledger.due(Some(&all[0]), until, 10).await.unwrap(), all[1..]);
    let settled = entry("c", 1, 2, entries[2].link.digest(), &json!({ "status": "expired" }));
    ledger.record(&[settled]).await.unwrap();
    assert_eq!(ledger.due(None, until, 10).await.unwrap(), all[1..]);
}

async fn idempotency_records_are_those_of_the_lineage(ledger: &dyn Ledger) {
    let repeat = |text: &[u8]| Some(IdempotencyKey { key: Digest::of(text), body: Digest::of(b"body") });
    let mut old = chain("a", 1, 1..=6, Digest::NONE);
    for (at, text) in [(0, &b"one"[..]), (2, b"three"), (3, b"four"), (5, b"lost")] {
        old[at] = changed(&old[at], |entry| entry.idempotency = repeat(text));
    }
    ledger.record(&old).await.unwrap();
    ledger.record(&chain("a", 2, 5..=5, old[3].link.digest())).await.unwrap();
    let records = ledger.idempotency_records(&key("a"), Timestamp::from_ms(30)).await.unwrap();
    let seen: Vec<_> = records.iter().map(|record| (Some(record.key), record.position.version)).collect();
    assert_eq!(seen, [(repeat(b"three"), 3), (repeat(b"four"), 4)]);
    assert_eq!((records[0].at, &records[0].change), (old[2].link.at, &old[2].change));
}

async fn a_closed_ledger_is_unavailable(ledger: &dyn Ledger) {
    ledger.ping().await.unwrap();
    ledger.close().await;
    assert!(matches!(ledger.ping().await, Err(Error::Unavailable(_))));
    let unanswered = ledger.record(&[first("a", &json!({}))]).await.unwrap_err();
    assert_eq!(unanswered.to_string(), "failed to reach the ledger");
}

async fn fill(ledger: &dyn Ledger) {
    ledger.record(&chain("a", 1, 1..=100, Digest::NONE)).await.unwrap();
    beat(ledger, 9, 9).await;
}

async fn check_kept(ledger: &dyn Ledger) {
    assert_eq!(positions(ledger, "a").await.len(), 100);
    assert_eq!(ledger.newest(&key("a")).await.unwrap().unwrap().link.position.version, 100);
    assert_eq!(outage_at(ledger, 9).await, (Some(9), None));
    assert_eq!(ledger.record(&chain("a", 1, 1..=100, Digest::NONE)).await.unwrap().new, 0);
}
