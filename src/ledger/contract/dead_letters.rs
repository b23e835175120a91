//! Dead letters, and entries that must not be refused.

use bytes::Bytes;
use serde_json::json;

use super::fixtures::{as_row, changed, first, ids, key};
use crate::domain::chain::Digest;
use crate::domain::entry::Entry;
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::ledger::{DeadLetterSummary, Filter, Ledger};

pub(super) async fn a_dead_letter_is_added_once(ledger: &dyn Ledger) {
    let odd = changed(&first("a", &json!({})), |entry| {
        entry.body = Some(Bytes::from_static(b"\xff\0"));
        entry.link.position.version = u64::MAX;
    });
    for _ in 0..2 {
        ledger.add_dead_letter(&odd, "because", Timestamp::from_ms(1)).await.unwrap();
    }
    assert_eq!(ledger.newest(&key("a")).await.unwrap(), None);
}

pub(super) async fn dead_letters_come_in_pages_unchanged_and_can_be_removed(ledger: &dyn Ledger) {
    let repeat = IdempotencyKey { key: Digest::of(b"key"), body: Digest::of(b"body") };
    let with = |session, change: fn(&mut Entry)| changed(&first(session, &json!({})), change);
    let dead = [
        with("a", |entry| entry.body = None),
        with("b", |entry| entry.body = Some(Bytes::from_static(b"\xff\0"))),
        with("b", |entry| entry.link.position.version = u64::MAX),
        changed(&first("c", &json!({})), |entry| entry.idempotency = Some(repeat)),
    ];
    for entry in &dead {
        ledger.add_dead_letter(entry, "said no, with \0 and \u{1f480}", Timestamp::from_ms(7)).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = ledger.dead_letters(after.as_ref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.iter().all(|letter| letter.added_at == Timestamp::from_ms(7)));
        assert!(last.reason.starts_with("said no, with ") && last.reason.ends_with(" and \u{1f480}"));
        after = Some(last.clone());
        seen.extend(page.into_iter().map(|letter| letter.entry));
    }
    assert_eq!(seen, dead.each_ref().map(|entry| Entry::clone(entry)));
    assert!(ledger.remove_dead_letter(&dead[1]).await.unwrap());
    assert!(!ledger.remove_dead_letter(&dead[1]).await.unwrap());
    let left = ledger.dead_letters(None, 10).await.unwrap();
    assert_eq!(left.iter().map(|letter| &letter.entry).collect::<Vec<_>>(), [&*dead[0], &dead[2], &dead[3]]);
}

pub(super) async fn dead_letters_of_a_session_come_newest_first(ledger: &dyn Ledger) {
    let dead =
        [9, 10, 11].map(|version| changed(&first("a", &json!({})), |entry| entry.link.position.version = version));
    let later = changed(&dead[0], |entry| entry.link.position = Position { epoch: 12, version: 8 });
    let another = first("b", &json!({}));
    assert_eq!(ledger.dead_letter_summary(9).await.unwrap(), DeadLetterSummary::default());
    for entry in dead.iter().chain([&later, &another]) {
        ledger.add_dead_letter(entry, "said no", Timestamp::from_ms(7)).await.unwrap();
    }
    let letters = ledger.dead_letters_of(&key("a")).await.unwrap();
    let seen: Vec<_> = letters.iter().map(|letter| letter.entry.link.position).collect();
    let at = |epoch, version| Position { epoch, version };
    assert_eq!(seen, [at(12, 8), at(1, 11), at(1, 10), at(1, 9)]);
    assert_eq!(letters[0].entry, *later);
    assert!(letters[1..].iter().all(|letter| letter.entry.body.is_none()));
    let first_after = async |after| ledger.first_dead_letter(&key("a"), after).await.unwrap();
    assert_eq!(first_after(None).await, Some(at(1, 9)));
    assert_eq!(first_after(Some(at(1, 9))).await, Some(at(1, 10)));
    assert_eq!(first_after(Some(at(1, 11))).await, Some(at(12, 8)));
    assert_eq!(first_after(Some(at(12, 8))).await, None);
    assert_eq!(ledger.first_dead_letter(&key("c"), None).await.unwrap(), None);
    let all = ledger.dead_letter_summary(9).await.unwrap();
    assert_eq!(all, DeadLetterSummary { letters: 5, sessions: vec![key("a"), key("b")] });
    assert_eq!(ledger.dead_letter_summary(1).await.unwrap().sessions, [key("a")]);
}

pub(super) async fn any_text_fits(ledger: &dyn Ledger) {
    let long = "\u{e9}\0".repeat(4_000);
    let participants: Vec<_> = (0..1_024).map(|n| json!({ "participant_id": format!("p-{n}") })).collect();
    let odd = json!({ "metadata": { "nul\0": "a\0b", "long": long }, "participants": participants });
    let entry = changed(&first("a", &odd), |entry| entry.change = Bytes::from_static(b"no json: \0 \xf0\x9f\x92\x80"));
    ledger.record(std::slice::from_ref(&entry)).await.unwrap();
    assert_eq!(ledger.newest(&key("a")).await.unwrap(), Some(as_row(&entry)));
    let metadata = vec![("nul\0".into(), "a\0b".into()), ("long".into(), long)];
    let filter = Filter { metadata, participant_id: Some("p-1023".into()), ..Filter::default() };
    assert_eq!(ids(ledger, &filter).await, ["a"]);
}
