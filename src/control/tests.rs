//! The copy and the tickets, against a Redis.

use std::sync::Arc;

use futures::future::join_all;
use testkit::redis::{Keeps, Server};

use super::copy::RedisCopy;
use super::state::ControlState;
use super::tickets::RedisTickets;
use crate::auth::Tickets as _;
use crate::domain::id::TenantId;
use crate::domain::principal::{Principal, Provenance, Role};
use crate::domain::setting::MAX_SESSION_BYTES;
use crate::domain::time::Timestamp;
use crate::ledger::control::{ControlChanges, SettingRow};
use crate::redis::{Redis, RedisUrl};
use crate::store::keys::Keys;

const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

async fn redis() -> (Server, Arc<Redis>) {
    let server = Server::start(Keeps::Nothing);
    let redis = Redis::connect(&RedisUrl::new(&server.url(), None).unwrap()).await.unwrap();
    (server, Arc::new(redis))
}

/// A change of one setting, which leads to a revision.
fn change(revision: u64, tenant: &str, bytes: Option<i64>) -> ControlChanges {
    let row = SettingRow {
        tenant: TenantId::new(tenant).unwrap(),
        name: MAX_SESSION_BYTES.name.to_owned(),
        value: bytes.map(|bytes| bytes.to_string()),
        revision,
    };
    ControlChanges { revision, settings: vec![row], ..ControlChanges::default() }
}

fn applied(changes: &[ControlChanges]) -> ControlState {
    changes.iter().fold(ControlState::default(), |state, changes| state.apply(changes, NOW).state)
}

/// The revision of the copy, and what each tenant has set there.
async fn copied(copy: &RedisCopy) -> Option<(u64, Vec<(String, String)>)> {
    let changes = copy.load().await.unwrap()?;
    let mut set: Vec<_> =
        changes.settings.into_iter().map(|row| (row.tenant.to_string(), row.value.unwrap_or_default())).collect();
    set.sort();
    Some((changes.revision, set))
}

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(tenant, value)| ((*tenant).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_copy_follows_changes_and_is_written_whole_where_it_lacks_some() {
    let (server, redis) = redis().await;
    let copy = RedisCopy::new(redis, Keys::default());
    assert_eq!(copied(&copy).await, None);
    let whole = ControlChanges { is_whole: true, ..ControlChanges::default() };
    copy.publish(0, &whole, &ControlState::default()).await.unwrap();
    assert_eq!(copied(&copy).await, Some((0, Vec::new())), "also if nothing was ever changed");
    let changes = [change(1, "a", Some(5_000)), change(2, "b", Some(6_000)), change(3, "a", None)];
    copy.publish(0, &changes[0], &applied(&changes[..1])).await.unwrap();
    copy.publish(1, &changes[1], &applied(&changes[..2])).await.unwrap();
    assert_eq!(copied(&copy).await, Some((2, set(&[("a", "5000"), ("b", "6000")]))));
    copy.publish(2, &changes[2], &applied(&changes)).await.unwrap();
    // Late publications change nothing.
    copy.publish(0, &changes[0], &applied(&changes[..1])).await.unwrap();
    copy.publish(0, &whole, &applied(&changes[..2])).await.unwrap();
    assert_eq!(copied(&copy).await, Some((3, set(&[("b", "6000")]))));
    // It was lost: the next change brings all back.
    server.say(&["DEL", &Keys::default().control()]);
    let last = change(4, "c", Some(7_000));
    let state = applied(&[&changes[..], std::slice::from_ref(&last)].concat());
    copy.publish(3, &last, &state).await.unwrap();
    assert_eq!(copied(&copy).await, Some((4, set(&[("b", "6000"), ("c", "7000")]))));
    // The ledger was brought back from an older copy of its own.
    copy.replace(&applied(&changes[..1])).await.unwrap();
    assert_eq!(copied(&copy).await, Some((1, set(&[("a", "5000")]))));
}

#[tokio::test]
async fn of_many_who_use_a_ticket_one_is_let_in() {
    let (server, redis) = redis().await;
    let tickets = RedisTickets::new(redis, Keys::default());
    let principal = Principal {
        tenant: TenantId::new("t").unwrap(),
        subject: "s".to_owned(),
        role: Role::Viewer,
        participant_id: None,
        sessions: None,
        locations: None,
        expires_at: None,
        provenance: Provenance::default(),
    };
    let ticket = tickets.issue(&principal, NOW).await.unwrap();
    let keys = server.say(&["KEYS", "*ticket*"]);
    assert!(keys.len() == 1 && !keys[0].contains(&ticket.text), "{keys:?}");
    let left_ms: i64 = server.say(&["PTTL", &keys[0]])[0].parse().unwrap();
    assert!((1..=30_000).contains(&left_ms), "{left_ms}");
    let used = join_all((0..8).map(|_| tickets.redeem(&ticket.text, NOW))).await;
    let principals: Vec<_> = used.into_iter().filter_map(Result::unwrap).collect();
    assert!(principals.len() == 1 && *principals[0] == principal, "{principals:?}");
    let late = tickets.issue(&principal, NOW).await.unwrap();
    assert_eq!(tickets.redeem(&late.text, late.expires_at).await.unwrap(), None, "by cluster time it has ended");
    assert_eq!(tickets.redeem(&"x".repeat(10_000), NOW).await.unwrap(), None);
}
