//! Where a page ends, and that the next one goes on from there.

use serde_json::json;

use super::fixtures::{chain, changed, entry, first, key};
use crate::domain::chain::Digest;
use crate::domain::id::{SessionId, TenantId};
use crate::ledger::{Filter, HistoryRow, Ledger, PAGE_BYTES, Page, Row};

/// All history pages of a session.
async fn histories(ledger: &dyn Ledger, session: &str, limit: u32) -> Vec<Vec<HistoryRow>> {
    let mut pages: Vec<Vec<HistoryRow>> = Vec::new();
    loop {
        let after = pages.last().and_then(|page| page.last()).map(|row| row.link.position);
        let Page { rows, has_more } = ledger.history(&key(session), after, limit).await.unwrap();
        pages.push(rows);
        if !has_more {
            return pages;
        }
    }
}

async fn lists(ledger: &dyn Ledger, limit: u32) -> Vec<Vec<Row>> {
    let (tenant, mut pages, mut after) = (TenantId::new("acme").unwrap(), Vec::new(), None::<SessionId>);
    loop {
        let Page { rows, has_more } =
            ledger.sessions(&tenant, &Filter::default(), after.as_ref(), limit).await.unwrap();
        after = rows.last().map(|row| row.key.session.clone());
        pages.push(rows);
        if !has_more {
            return pages;
        }
    }
}

pub(super) async fn history_pages_split_no_position(ledger: &dyn Ledger) {
    let one = chain("a", 1, 1..=5, Digest::NONE);
    let other = entry("a", 1, 2, one[0].link.digest(), &json!({ "other": "life" }));
    ledger.record(&one).await.unwrap();
    ledger.record(&[other]).await.unwrap();
    let pages = histories(ledger, "a", 2).await;
    assert!(pages.iter().all(|page| page.len() <= 3));
    let seen: Vec<_> = pages.iter().flatten().map(|row| row.link.position.version).collect();
    assert_eq!(seen, [1, 2, 2, 3, 4, 5]);
}

pub(super) async fn the_last_page_has_no_more(ledger: &dyn Ledger) {
    ledger.record(&chain("a", 1, 1..=4, Digest::NONE)).await.unwrap();
    let lengths = |pages: Vec<Vec<HistoryRow>>| pages.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(histories(ledger, "a", 2).await), [2, 2]);
    assert_eq!(lengths(histories(ledger, "a", 3).await), [3, 1]);
    assert_eq!(lengths(histories(ledger, "b", 3).await), [0]);
    ledger.record(&["c", "d", "e"].map(|session| first(session, &json!({})))).await.unwrap();
    assert_eq!(lists(ledger, 2).await.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
}

pub(super) async fn a_history_page_ends_where_its_changes_are_long(ledger: &dyn Ledger) {
    let long = |entry| changed(entry, |entry| entry.change = json!("x".repeat(200_000)).to_string().into());
    let one: Vec<_> = chain("a", 1, 1..=12, Digest::NONE).iter().map(long).collect();
    // The position at the end of the first page has forked.
    let other = entry("a", 1, 6, one[4].link.digest(), &json!({ "other": "life" }));
    ledger.record(&one).await.unwrap();
    ledger.record(&[other]).await.unwrap();
    let pages = histories(ledger, "a", 1_000).await;
    let seen: Vec<Vec<_>> =
        pages.iter().map(|page| page.iter().map(|row| row.link.position.version).collect()).collect();
    assert_eq!(seen, [vec![1, 2, 3, 4, 5, 6, 6], vec![7, 8, 9, 10, 11, 12]]);
    let bytes = |page: &Vec<HistoryRow>| page.iter().map(|row| row.change.len()).sum::<usize>();
    assert!(pages.iter().all(|page| bytes(page) < PAGE_BYTES as usize + 400_000));
}

pub(super) async fn a_list_page_ends_where_its_bodies_are_long(ledger: &dyn Ledger) {
    let fat = |id| first(id, &json!({ "fat": "x".repeat(400_000) }));
    let entries = ["a", "b", "c", "d", "e", "f", "g"].map(fat);
    ledger.record(&entries).await.unwrap();
    ledger.record(&[first("cc", &json!({})), first("z", &json!({ "fat": "x".repeat(3_000_000) }))]).await.unwrap();
    let pages = lists(ledger, 1_000).await;
    let seen: Vec<Vec<_>> =
        pages.iter().map(|page| page.iter().map(|row| row.key.session.as_str()).collect()).collect();
    assert_eq!(seen, [vec!["a", "b", "c"], vec!["cc", "d", "e", "f"], vec!["g", "z"]]);
    assert_eq!(pages[0][1].body, entries[1].body);
}
