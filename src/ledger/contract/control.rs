//! Settings, revocations and security events.

use futures::future::join_all;

use crate::domain::chain::Digest;
use crate::domain::id::TenantId;
use crate::domain::idempotency::{IDEMPOTENCY_TTL_MS, IdempotencyKey};
use crate::domain::revocation::{Revocation, RevokedTokens};
use crate::domain::time::Timestamp;
use crate::ledger::Ledger;
use crate::ledger::control::{
    RevocationOutcome, RevocationRequest, SecurityFilter, SecurityRow, SettingsChange, SettingsOutcome,
};

const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn key(text: &str, body: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey { key: Digest::of(text.as_bytes()), body: Digest::of(body.as_bytes()) })
}

fn change(of: &str, values: &[(&'static str, Option<&str>)]) -> SettingsChange {
    let values = values.iter().map(|(name, value)| (*name, value.map(str::to_owned))).collect();
    SettingsChange { tenant: tenant(of), values, expected: None, idempotency: None, by: "a".to_owned(), at: NOW }
}

fn revocation(of: &str, id: &str, expires_at: Timestamp) -> RevocationRequest {
    let tokens = RevokedTokens::Subject { subject: "s\u{e9}".to_owned(), before: NOW };
    let revocation =
        Revocation { id: id.to_owned(), tenant: tenant(of), tokens, at: NOW, by: "a".to_owned(), expires_at };
    RevocationRequest { revocation, limit: 3, idempotency: None }
}

fn event(of: &str, number: i64) -> SecurityRow {
    SecurityRow {
        tenant: tenant(of),
        id: format!("{number:04}"),
        at: NOW + number,
        kind: if number % 2 == 0 { "even" } else { "odd" }.to_owned(),
        subject: "s\0".to_owned(),
        address: String::new(),
        detail: "d".to_owned(),
        times: 2,
    }
}

async fn changed(ledger: &dyn Ledger, change: SettingsChange) -> Vec<&'static str> {
    match ledger.change_settings(&change).await.unwrap() {
        SettingsOutcome::Changed { names, is_replay: false } => names,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn a_change_of_settings_is_all_or_nothing_and_has_a_revision(ledger: &dyn Ledger) {
    assert_eq!(ledger.control_revision().await.unwrap(), 0);
    assert_eq!(changed(ledger, change("t", &[("a", Some("1")), ("b", Some("[]"))])).await, ["a", "b"]);
    assert_eq!(changed(ledger, change("u", &[("a", Some("9"))])).await, ["a"]);
    assert_eq!(changed(ledger, change("t", &[("a", Some("1")), ("b", None)])).await, ["b"]);
    let rows = ledger.tenant_settings(&tenant("t")).await.unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.value.as_deref(), row.revision)).collect();
    assert_eq!(shown, [("a", Some("1"), 1), ("b", None, 3)]);
    let stale = SettingsChange { expected: Some(1), ..change("t", &[("a", Some("2"))]) };
    assert_eq!(ledger.change_settings(&stale).await.unwrap(), SettingsOutcome::Stale(3));
    let fresh = SettingsChange { expected: Some(3), ..stale };
    assert_eq!(changed(ledger, fresh).await, ["a"]);
    assert_eq!(ledger.control_revision().await.unwrap(), 4);
}

pub(super) async fn of_concurrent_changes_each_has_a_revision_of_its_own(ledger: &dyn Ledger) {
    let changes = (0..8).map(|number| {
        let value = number.to_string();
        let change = SettingsChange { expected: Some(0), ..change("t", &[("a", Some(&value))]) };
        async move { ledger.change_settings(&change).await.unwrap() }
    });
    let outcomes = join_all(changes).await;
    let made = outcomes.iter().filter(|outcome| matches!(outcome, SettingsOutcome::Changed { .. })).count();
    assert_eq!((made, ledger.control_revision().await.unwrap()), (1, 1), "{outcomes:?}");
}

pub(super) async fn a_repeat_of_a_change_is_recognised(ledger: &dyn Ledger) {
    let first = SettingsChange { expected: Some(0), idempotency: key("k", "1"), ..change("t", &[("a", Some("1"))]) };
    assert_eq!(changed(ledger, first.clone()).await, ["a"]);
    let replayed = SettingsOutcome::Changed { names: Vec::new(), is_replay: true };
    assert_eq!(ledger.change_settings(&first).await.unwrap(), replayed);
    let other = SettingsChange { idempotency: key("k", "2"), ..first.clone() };
    assert_eq!(ledger.change_settings(&other).await.unwrap(), SettingsOutcome::Mismatch);
    let later = SettingsChange { expected: None, at: NOW + IDEMPOTENCY_TTL_MS + 1, ..other };
    assert!(changed(ledger, later).await.is_empty(), "the key is free again, and the value is the same");
    let end = Timestamp::NEVER;
    let request = RevocationRequest { idempotency: key("r", "1"), ..revocation("t", "1", end) };
    let made = request.revocation.clone();
    assert_eq!(ledger.add_revocation(&request).await.unwrap(), RevocationOutcome::Added(made.clone()));
    let again = RevocationRequest { idempotency: key("r", "1"), ..revocation("t", "2", end) };
    assert_eq!(ledger.add_revocation(&again).await.unwrap(), RevocationOutcome::Replayed(made));
    let other = RevocationRequest { idempotency: key("r", "2"), ..again };
    assert_eq!(ledger.add_revocation(&other).await.unwrap(), RevocationOutcome::Mismatch);
}

pub(super) async fn changes_are_read_on_from_a_revision(ledger: &dyn Ledger) {
    changed(ledger, change("t", &[("a", Some("1"))])).await;
    ledger.add_revocation(&revocation("t", "1", NOW + 100)).await.unwrap();
    ledger.add_revocation(&revocation("u", "2", Timestamp::NEVER)).await.unwrap();
    let whole = ledger.control_changes(0, NOW).await.unwrap();
    assert_eq!((whole.revision, whole.is_whole, whole.settings.len(), whole.revocations.len()), (3, true, 1, 2));
    assert_eq!(whole.revocations[0].revocation, revocation("t", "1", NOW + 100).revocation);
    assert_eq!(ledger.control_changes(0, NOW + 100).await.unwrap().revocations.len(), 1, "one has ended");
    let none = ledger.control_changes(3, NOW).await.unwrap();
    assert_eq!((none.revision, none.is_whole, none.settings.len() + none.revocations.len()), (3, false, 0));
    assert_eq!(ledger.remove_revocation(&tenant("t"), "1", NOW + 1).await.unwrap(), Some(4));
    let removed = ledger.control_changes(3, NOW + 1).await.unwrap();
    assert_eq!((removed.revision, removed.is_whole, removed.settings.len()), (4, false, 0));
    let ids: Vec<_> = removed.revocations.iter().map(|each| (each.revocation.id.as_str(), each.is_removed)).collect();
    assert_eq!(ids, [("1", true)]);
    // A ledger that was brought back from a copy has not come as far as its reader.
    assert!(ledger.control_changes(99, NOW).await.unwrap().is_whole);
}

pub(super) async fn revocations_stand_until_they_end_or_are_taken_back(ledger: &dyn Ledger) {
    for (of, id, expires_at) in
        [("t", "1", Timestamp::NEVER), ("t", "2", NOW + 10), ("t", "3", Timestamp::NEVER), ("u", "1", Timestamp::NEVER)]
    {
        ledger.add_revocation(&revocation(of, id, expires_at)).await.unwrap();
    }
    let full = revocation("t", "4", Timestamp::NEVER);
    assert_eq!(ledger.add_revocation(&full).await.unwrap(), RevocationOutcome::TooMany);
    let ids = async |after: Option<&str>, now, limit| {
        let page = ledger.revocations(&tenant("t"), after, now, limit).await.unwrap();
        (page.rows.into_iter().map(|revocation| revocation.id).collect::<Vec<_>>(), page.has_more)
    };
    assert_eq!(ids(None, NOW, 2).await, (vec!["1".to_owned(), "2".to_owned()], true));
    assert_eq!(ids(Some("2"), NOW, 2).await, (vec!["3".to_owned()], false));
    assert_eq!(ids(None, NOW + 10, 9).await, (vec!["1".to_owned(), "3".to_owned()], false));
    assert_eq!(ledger.remove_revocation(&tenant("t"), "2", NOW + 10).await.unwrap(), None, "it has ended");
    assert_eq!(ledger.remove_revocation(&tenant("t"), "9", NOW).await.unwrap(), None);
    assert!(ledger.remove_revocation(&tenant("t"), "1", NOW).await.unwrap().is_some());
    assert_eq!(ledger.remove_revocation(&tenant("t"), "1", NOW).await.unwrap(), None, "once");
    assert_eq!(ids(None, NOW + 10, 9).await.0, ["3"]);
    assert!(matches!(ledger.add_revocation(&full).await.unwrap(), RevocationOutcome::Added(_)), "there is room");
}

pub(super) async fn security_events_come_newest_first_and_are_forgotten(ledger: &dyn Ledger) {
    let rows: Vec<_> = (0..6).map(|number| event("t", number)).chain([event("u", 9)]).collect();
    for _ in 0..2 {
        ledger.add_security_events(&rows).await.unwrap();
    }
    let listed = async |filter: SecurityFilter, limit| {
        let page = ledger.security_events(&tenant("t"), &filter, limit).await.unwrap();
        (page.rows.into_iter().map(|row| row.id).collect::<Vec<_>>(), page.has_more)
    };
    let all = SecurityFilter::default();
    assert_eq!(listed(all.clone(), 2).await, (vec!["0005".to_owned(), "0004".to_owned()], true));
    let before = SecurityFilter { before: Some("0002".to_owned()), ..all.clone() };
    assert_eq!(listed(before, 9).await, (vec!["0001".to_owned(), "0000".to_owned()], false));
    let odd = SecurityFilter { kind: Some("odd".to_owned()), since: Some(NOW + 3), before: None };
    assert_eq!(listed(odd, 9).await.0, ["0005", "0003"]);
    let shown = ledger.security_events(&tenant("t"), &all, 1).await.unwrap().rows.remove(0);
    assert_eq!((shown.subject.as_str(), shown.times, shown.at), ("s\u{fffd}", 2, NOW + 5));
    assert_eq!(ledger.forget_security_events(NOW + 4).await.unwrap(), 4);
    assert_eq!(listed(all, 9).await.0, ["0005", "0004"]);
}
