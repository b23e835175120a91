//! `synckairos audit dead list, retry, drop`, and the same on PostgreSQL.

use std::process::Output;

use synckairos::audit::dead_letters;
use synckairos::audit::dead_letters::{RetryOutcome, Selection};
use synckairos::domain::chain::Digest;
use synckairos::domain::entry::Entry;
use synckairos::domain::time::Timestamp;
use synckairos::ledger::Ledger;
use synckairos::ledger::postgres::PostgresLedger;
use synckairos::ledger::sqlite::{Durability, SqliteLedger};
use testkit::postgres::Server;

use crate::harness::process::Host;
use crate::harness::writers::{Writers, key, versions};

/// Two that may be taken after all, and one that never will.
async fn bury(ledger: &dyn Ledger) -> [Entry; 3] {
    let mut writers = Writers::default();
    let dead = [writers.next(0), writers.next(0), writers.next(1)].map(|entry| Entry::clone(&entry));
    let [first, second, mut wrong] = dead;
    wrong.link.position.version = 0;
    for entry in [&first, &second, &wrong] {
        ledger.add_dead_letter(entry, "said no\nonce", Timestamp::from_ms(0)).await.unwrap();
    }
    [first, second, wrong]
}

async fn retry_and_drop(ledger: &dyn Ledger) {
    let [first, second, wrong] = bury(ledger).await;
    let named = Selection::Of(vec![second.link.digest(), Digest::of(b"nobody")]);
    let retry = async |letter: &_| {
        assert!(matches!(dead_letters::retry(ledger, letter).await?, RetryOutcome::Recorded));
        Ok(())
    };
    assert_eq!(dead_letters::each(ledger, &named, retry).await.unwrap(), 1);
    assert_eq!(versions(ledger, &key(0)).await, [2]);
    let mut came_of_it = Vec::new();
    let retry = async |letter: &_| {
        came_of_it.push(matches!(dead_letters::retry(ledger, letter).await?, RetryOutcome::Recorded));
        Ok(())
    };
    assert_eq!(dead_letters::each(ledger, &Selection::All, retry).await.unwrap(), 2);
    assert_eq!((came_of_it, versions(ledger, &key(0)).await), (vec![true, false], vec![1, 2]));
    assert_eq!(ledger.newest(&key(0)).await.unwrap().unwrap().link, second.link);
    assert_eq!(ledger.newest(&key(0)).await.unwrap().unwrap().body, second.body);
    assert_ne!(first.link, second.link);
    let left: Vec<_> = ledger.dead_letters(None, 10).await.unwrap().into_iter().map(|letter| letter.entry).collect();
    assert_eq!(left, [wrong]);
    let dropped = dead_letters::each(ledger, &Selection::All, async |letter| dead_letters::drop(ledger, letter).await);
    assert_eq!(dropped.await.unwrap(), 1);
    assert_eq!(ledger.dead_letters(None, 10).await.unwrap(), []);
    ledger.close().await;
}

#[tokio::test]
async fn sqlite_takes_back_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    retry_and_drop(&SqliteLedger::open(&folder.path().join("l.db"), Durability::Flush).await.unwrap()).await;
}

#[tokio::test]
async fn postgres_takes_back_a_dead_letter() {
    let server = Server::shared().await;
    let url = server.database().await;
    PostgresLedger::migrate(&url, "test").await.unwrap();
    retry_and_drop(&PostgresLedger::open(&url, "test").await.unwrap()).await;
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_list_retry_and_drop_while_the_service_runs() {
    let host = Host::new();
    let process = host.serve().await;
    let ledger = SqliteLedger::open(&host.ledger(), Durability::Flush).await.unwrap();
    let [first, second, wrong] = bury(&ledger).await;
    let audit = async |arguments: &[&str]| host.run(&[&["audit", "dead"], arguments].concat()).await;
    let listed = audit(&["list"]).await;
    assert!(listed.status.success(), "{}", said(&listed));
    let letters = lines(&listed).into_iter().filter(|line| !line.starts_with('#'));
    assert_eq!(letters.count(), 3, "{:?}", lines(&listed));
    let stake =
        format!("# acme/s0: 2 refused, {} to {position};", first.link.position, position = second.link.position);
    assert!(lines(&listed).iter().any(|line| line.starts_with(&stake)), "{stake} in {:?}", lines(&listed));
    let position = second.link.position;
    let expected = format!("{} acme/s0 {position} 1970-01-01T00:00:00.000Z said no\\nonce", second.link.digest());
    assert!(lines(&listed).contains(&expected), "{expected} in {:?}", lines(&listed));

    let retried = audit(&["retry", "--all"]).await;
    assert_eq!(retried.status.code(), Some(1));
    assert!(said(&retried).contains("1 were refused again, and stay where they are"), "{}", said(&retried));
    assert_eq!(lines(&retried).iter().filter(|line| line.ends_with(" recorded")).count(), 2);
    assert_eq!(versions(&ledger, &key(0)).await, [1, 2]);
    host.caller().get("/v1/sessions/s0").await;

    let gone = audit(&["drop", &first.link.digest().to_string()]).await;
    assert_eq!(gone.status.code(), Some(1));
    assert!(said(&gone).contains("1 of the digests are no dead letter's"), "{}", said(&gone));
    assert!(audit(&["drop", &wrong.link.digest().to_string()]).await.status.success());
    let none = ["There are no dead letters: the ledger took everything it was given."];
    assert_eq!(lines(&audit(&["list"]).await), none);
    assert_eq!(lines(&audit(&["retry", "--all"]).await), none);
    for unclear in [&["drop"][..], &["retry", "xyz"], &["retry", "--all", &"0".repeat(64)], &[]] {
        assert_eq!(audit(unclear).await.status.code(), Some(2), "{unclear:?}");
    }
    ledger.close().await;
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_ledger_is_not_created_and_not_shown_as_empty() {
    let host = Host::new();
    for arguments in [&["list"][..], &["retry", "--all"], &["drop", "--all"]] {
        let refused = host.run(&[&["audit", "dead"], arguments].concat()).await;
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(said(&refused).contains("there is no ledger at "), "{}", said(&refused));
        assert!(said(&refused).contains("DATABASE_URL"), "{}", said(&refused));
        assert!(!host.data().exists());
    }
}
