//! Wrong tokens: counted by address wherever they come, while good ones from there still count.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use synckairos::config::RateLimits;
use tokio::time::Instant;

use crate::harness::cluster::TENANT;
use crate::harness::token::{claims, signed, signed_by};
use crate::harness::watch::{Transport, Watcher, Watching};
use crate::harness::{Authority, Cluster, Session, blitz, with};
use crate::rate_limits::check_refusal;

fn wrong(number: usize) -> Authority {
    let claims = with(claims(TENANT, "admin"), json!({"sub": format!("s{number}")}));
    Authority::Token(signed_by("another key, of more than thirty-two bytes", &claims))
}

async fn refused_socket(cluster: &Cluster, session: &Session) -> Result<Watcher, u16> {
    Watching::of(cluster.caller(0).being(wrong(0)), session).attempt(Transport::WebSocket).await
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_tokens_are_limited_wherever_they_come_and_good_ones_are_not() {
    let six = RateLimits { refused_token: Some("60/min,burst=6".parse().unwrap()), ..RateLimits::default() };
    let cluster = Cluster::of(1).with(|config| config.rate_limits = six).start().await;
    let operator = cluster.caller(0);
    let session = operator.running(blitz()).await;
    let wrong = operator.being(wrong(0));
    wrong.get(session.path()).await.expect(401);
    wrong.get(format!("{}/events", session.path())).await.expect(401);
    wrong.get(format!("/v1/events?sessions={}", session.id)).await.expect(401);
    wrong.get(format!("{}/poll", session.path())).await.expect(401);
    assert_eq!(refused_socket(&cluster, &session).await.unwrap().until_closed().await, 4500);
    let mut socket = Watching::of(operator.clone(), &session).over(Transport::WebSocket).await;
    socket.say(json!({"type": "AUTH", "token": "a.b.c"})).await;
    assert_eq!(socket.until_closed().await, 4500);
    // Those were six.
    check_refusal(&wrong.get(session.path()).await, "\"refused_token\";q=60;w=60");
    check_refusal(&wrong.get(format!("{}/events", session.path())).await, "\"refused_token\";q=60;w=60");
    assert_eq!(refused_socket(&cluster, &session).await.err(), Some(429));
    operator.get(session.path()).await.expect(200);
    operator.being(Authority::Anonymous).get(session.path()).await.expect(401).refused("unauthenticated");
    let past = Authority::Token(signed(&with(claims(TENANT, "viewer"), json!({"exp": 1}))));
    operator.being(past).get(session.path()).await.expect(401).refused("token_expired");
    let scrape = operator.scrape(cluster.instance(0).metrics_address).await;
    let counted = scrape.lines().find(|line| line.contains("rate_limited_total{class=\"refused_token\"}"));
    assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_an_address_may_send_sixty_wrong_tokens_a_minute() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let session = operator.create(blitz()).await;
    for number in 0..60 {
        operator.being(wrong(number)).get(session.path()).await.expect(401);
    }
    operator.being(wrong(60)).get(session.path()).await.expect(429).refused("rate_limited");
    let good = operator.get(session.path()).await.expect(200);
    assert_eq!((good.header("ratelimit"), good.header("ratelimit-policy")), ("", ""), "it has no limit");
    cluster.clock().advance_ms(60_000);
    operator.being(wrong(61)).get(session.path()).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_tokens_costs_an_honest_client_nothing() {
    const SPAN: Duration = Duration::from_secs(2);
    const FLOOD_A_SECOND: u32 = 1_700;
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let session = operator.running(blitz()).await;
    let until = Instant::now() + SPAN;
    let flood = (0..4).map(|lane| {
        let caller = operator.being(wrong(lane));
        let path = session.path();
        tokio::spawn(async move {
            let mut turns = tokio::time::interval(Duration::from_secs(4) / FLOOD_A_SECOND);
            let mut sent = [0, 0];
            while Instant::now() < until {
                turns.tick().await;
                let status = caller.get(&path).await.status;
                assert!([401, 429].contains(&status), "{status}");
                sent[usize::from(status == 429)] += 1;
            }
            sent
        })
    });
    let flood: Vec<_> = flood.collect();
    let mut honest = 0;
    while Instant::now() < until {
        operator.get(session.path()).await.expect(200);
        operator.command(&session, "switch").await;
        honest += 1;
    }
    let sent = join_all(flood).await.into_iter().map(Result::unwrap);
    let [told, turned_away] = sent.fold([0, 0], |all: [u32; 2], each| [all[0] + each[0], all[1] + each[1]]);
    assert_eq!(told, 60, "the clock stands still");
    assert!(turned_away > 500 && honest > 20, "{turned_away} turned away beside {honest}");
}
