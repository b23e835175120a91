//! `/v1/revocations` and `/v1/tickets`: what revoked tokens prove on which instance, from when,
//! on requests and on streams that are open; and tickets, each good for one stream.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use testkit::redis::Keeps;
use tokio::time::Instant;

use crate::harness::cluster::TENANT;
use crate::harness::events::Events;
use crate::harness::raw::KeepAliveConnection;
use crate::harness::token::{claims, signed};
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Answer, Authority, Caller, Cluster, Session, blitz, eventually, soon, stopwatch, with};

const PATH: &str = "/v1/revocations";

/// A revocation is in force everywhere within this.
const IN_FORCE: Duration = Duration::from_secs(2);

/// 2026-01-01T00:00:00Z, when a still clock begins, in the seconds of a token.
const BEGIN_S: i64 = 1_767_225_600;

fn admin(cluster: &Cluster, instance: usize) -> Caller {
    cluster.caller(instance).being(Authority::Admin)
}

/// A viewer with these claims beside the usual ones.
fn token(more: Value) -> Authority {
    Authority::Token(signed(&with(claims(TENANT, "viewer"), more)))
}

async fn revoke(caller: &Caller, body: Value) -> Answer {
    caller.post(PATH, body).await.expect(201)
}

async fn until_refused(caller: &Caller, path: &str) {
    eventually("the token is refused", async || (caller.get(path).await.status == 401).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_proves_nothing_on_any_instance_until_it_is_taken_back() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let bearers = |id: &str| [0, 1].map(|instance| cluster.caller(instance).being(token(json!({"jti": id}))));
    let (revoked, others) = (bearers("one"), bearers("two"));
    for caller in revoked.iter().chain(&others) {
        caller.get(session.path()).await.expect(200);
    }
    let made = revoke(&admin(&cluster, 0), json!({"jti": "one"})).await;
    let began = Instant::now();
    let refused = revoked[0].get(session.path()).await.expect(401).refused("unauthenticated");
    assert!(refused.body["detail"].as_str().unwrap().contains("revoked"), "{}", refused.body);
    until_refused(&revoked[1], &session.path()).await;
    assert!(began.elapsed() < IN_FORCE, "{:?}", began.elapsed());
    for caller in &others {
        caller.get(session.path()).await.expect(200);
    }
    let path = format!("{PATH}/{}", made.body["id"].as_str().unwrap());
    assert_eq!(made.header("location"), path);
    admin(&cluster, 1).asking(Method::DELETE, &path).send().await.expect(204);
    admin(&cluster, 1).asking(Method::DELETE, &path).send().await.expect(404).refused("not_found");
    revoked[1].get(session.path()).await.expect(200);
    eventually("it is good again", async || (revoked[0].get(session.path()).await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_revoked_up_to_an_instant_with_the_tokens_it_made() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let get = async |authority: Authority| caller.being(authority).get(session.path()).await.status;
    let of = |sub: &str, iat: Option<i64>| {
        token(with(json!({"sub": sub}), iat.map_or(json!({}), |iat| json!({"iat": iat}))))
    };
    // The operator has a token made for a screen, and is revoked ten seconds later.
    let made = caller.post(format!("{}/tokens", session.path()), json!({"sub": "screen"})).await.expect(201);
    let screen = Authority::Token(made.body["token"].as_str().unwrap().to_owned());
    cluster.clock().advance_ms(10_000);
    let before = json!({"sub": "a-operator", "before": "2026-01-01T00:00:05Z"});
    let body = revoke(&admin(&cluster, 0), before).await.body;
    assert_eq!((&body["before"], &body["created_by"]), (&json!("2026-01-01T00:00:05.000Z"), &json!("a-admin")));
    for (authority, status) in [
        (of("a-operator", Some(BEGIN_S + 5)), 401),
        (of("a-operator", Some(BEGIN_S + 6)), 200),
        (of("a-operator", None), 401),
        (Authority::Operator, 401),
        (screen, 401),
        (of("screen", Some(BEGIN_S)), 200),
    ] {
        assert_eq!(get(authority.clone()).await, status, "{authority:?}");
    }
    // Without an instant, it is now: what is made later is good.
    revoke(&admin(&cluster, 0), json!({"sub": "b"})).await;
    assert_eq!((get(of("b", Some(BEGIN_S + 10))).await, get(of("b", Some(BEGIN_S + 11))).await), (401, 200));
    let rival = caller.being(Authority::Token(signed(&with(claims("rival", "viewer"), json!({"sub": "b"})))));
    rival.get("/v1/sessions").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_of_a_revoked_token_end_everywhere() {
    let cluster = Cluster::of(2).with(|config| config.timers.heartbeat = Duration::from_mins(1)).start().await;
    let session = cluster.caller(0).running(stopwatch()).await;
    for instance in [0, 1] {
        let id = format!("jti-{instance}");
        let bearer = cluster.caller(instance).being(token(json!({"jti": id})));
        let mut one = Watching::of(bearer.clone(), &session).over(Transport::WebSocket).await;
        one.until("STATE_SYNC").await;
        // It follows nothing, so nothing but the revocation wakes it.
        let mut many = Watching::many(bearer.clone()).over(Transport::WebSocket).await;
        let mut events = Events::open(&bearer, &format!("{}/events", session.path()), None).await;
        events.next().await.unwrap();
        let mut poll = KeepAliveConnection::open(bearer.address()).await;
        let position =
            bearer.get(session.path()).await.header("etag").trim_start_matches("W/").trim_matches('"').to_owned();
        let authorization = format!("Bearer {}", bearer.token().unwrap());
        poll.ask(&format!("{}/poll?since={position}&timeout_ms=60000", session.path()), &authorization, "").await;
        let mut other = cluster.watch(instance, &session).over(Transport::WebSocket).await;
        other.until("STATE_SYNC").await;

        let began = Instant::now();
        revoke(&admin(&cluster, 0), json!({"jti": id})).await;
        assert_eq!(soon("the end of a WebSocket", one.until_closed()).await, 4500);
        assert_eq!(soon("the end of an idle WebSocket", many.until_closed()).await, 4500);
        let close = loop {
            let event = soon("the end of an event stream", events.next_of_any_kind()).await.expect("a reason");
            if event.kind == "CLOSE" {
                break event;
            }
        };
        assert_eq!(close.data["code"], 4500);
        let answer = soon("the end of a poll", poll.answer()).await.unwrap();
        assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("unauthenticated")));
        assert!(began.elapsed() < IN_FORCE, "{:?}", began.elapsed());
        let version = cluster.caller(instance).command(&session, "switch").await.version();
        other.until_version(version).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_comes_again_is_refused_once_its_token_is_revoked() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let bearer = cluster.caller(0).being(token(json!({"jti": "p"})));
    let authorization = format!("Bearer {}", bearer.token().unwrap());
    let mut poll = KeepAliveConnection::open(bearer.address()).await;
    let path = format!("{}/poll", session.path());
    poll.ask(&path, &authorization, "").await;
    let first = soon("the state", poll.answer()).await.unwrap().json();
    let again = format!("{path}?since={}&timeout_ms=1000", first["position"].as_str().unwrap());
    poll.ask(&again, &authorization, "").await;
    assert_eq!(soon("nothing new", poll.answer()).await.unwrap().status, 200);
    revoke(&admin(&cluster, 0), json!({"jti": "p"})).await;
    poll.ask(&again, &authorization, "").await;
    assert_eq!(soon("a refusal", poll.answer()).await.unwrap().status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_are_listed_in_pages_to_their_tenant_alone() {
    let cluster = Cluster::of(1).start().await;
    let (admin, rival) = (admin(&cluster, 0), cluster.caller(0).being(Authority::Foreign));
    let mut ids = Vec::new();
    for number in 0..5 {
        cluster.clock().advance_ms(1);
        ids.push(revoke(&admin, json!({"jti": format!("j{number}")})).await.body["id"].clone());
    }
    revoke(&rival, json!({"jti": "theirs"})).await;
    let mut listed = Vec::new();
    let mut path = format!("{PATH}?limit=2");
    let pages = loop {
        let page = admin.get(&path).await.expect(200).body;
        listed.extend(page["revocations"].as_array().unwrap().iter().map(|each| each["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break listed.len().div_ceil(2) };
        path = format!("{PATH}?limit=2&cursor={cursor}");
    };
    assert_eq!((listed, pages), (ids.clone(), 3));
    let foreign = format!("{PATH}/{}", ids[0].as_str().unwrap());
    rival.asking(Method::DELETE, &foreign).send().await.expect(404);
    admin.asking(Method::DELETE, &foreign).send().await.expect(204);
    for bad in ["?limit=0", "?colour=blue", "?limit=2&limit=3"] {
        admin.get(format!("{PATH}{bad}")).await.expect(422);
    }
    for authority in [Authority::Viewer, Authority::Participant("white"), Authority::Operator] {
        let caller = cluster.caller(0).being(authority);
        caller.get(PATH).await.expect(403);
        caller.post(PATH, json!({"jti": "x"})).await.expect(403);
        caller.asking(Method::DELETE, format!("{PATH}/{}", ids[1].as_str().unwrap())).send().await.expect(403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_means_nothing_is_refused() {
    let cluster = Cluster::of(1).start().await;
    let admin = admin(&cluster, 0);
    for (body, pointer) in [
        (json!({}), ""),
        (json!({"jti": "a", "sub": "b"}), ""),
        (json!({"before": "2026-01-01T00:00:00Z"}), ""),
        (json!({"jti": "a", "before": "2026-01-01T00:00:00Z"}), "/before"),
        (json!({"sub": "a", "before": "2026-01-01T00:00:01Z"}), "/before"),
        (json!({"sub": "a", "before": "yesterday"}), "/before"),
        (json!({"sub": ""}), "/sub"),
        (json!({"sub": "a\nb"}), "/sub"),
        (json!({"jti": "j".repeat(257)}), "/jti"),
        (json!({"jti": 7}), "/jti"),
        (json!({"token": "a"}), "/token"),
    ] {
        let refused = admin.post(PATH, body.clone()).await.expect(422).refused("invalid");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{body}: {}", refused.body);
    }
    let once = async |body: Value| admin.asking(Method::POST, PATH).key("k").json(&body).send().await;
    let (first, repeat) = (once(json!({"sub": "s"})).await.expect(201), once(json!({"sub": "s"})).await.expect(201));
    assert_eq!((repeat.header("idempotent-replayed"), &repeat.body), ("true", &first.body));
    once(json!({"sub": "t"})).await.expect(422).refused("idempotency_mismatch");
    let listed = admin.get(PATH).await.body;
    assert_eq!(listed["revocations"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_administers_may_revoke_itself() {
    let cluster = Cluster::of(1).start().await;
    revoke(&admin(&cluster, 0), json!({"sub": "a-admin"})).await;
    admin(&cluster, 0).get(PATH).await.expect(401);
    let later = with(claims(TENANT, "admin"), json!({"sub": "a-admin", "iat": BEGIN_S + 60}));
    cluster.caller(0).claiming(&later).get(PATH).await.expect(200);
}

/// Revocations that three instances of their own must learn of, one after the other.
const MANY: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn the_slowest_of_a_hundred_revocations_is_in_force_on_three_instances_in_time() {
    let timers = |config: &mut synckairos::config::Config| config.timers.renew = Duration::from_secs(1);
    let cluster = Cluster::of(3).shared().in_real_time().with(timers).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let path = session.path();
    let mut slowest = Duration::ZERO;
    for batch in 0..MANY / 10 {
        let revocations = (0..10).map(|number| {
            let (cluster, path) = (&cluster, &path);
            async move {
                let id = format!("token-{batch}-{number}");
                let bearers = [0, 1, 2].map(|instance| cluster.caller(instance).being(token(json!({"jti": id}))));
                for bearer in &bearers {
                    bearer.get(path).await.expect(200);
                }
                let began = Instant::now();
                revoke(&admin(cluster, number % 3), json!({"jti": id})).await;
                for bearer in &bearers {
                    until_refused(bearer, path).await;
                }
                began.elapsed()
            }
        });
        slowest = futures::future::join_all(revocations).await.into_iter().fold(slowest, Duration::max);
    }
    println!("the slowest of {MANY} revocations took {slowest:?}");
    assert!(slowest < IN_FORCE, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_lost_gets_its_copy_back_and_lets_nobody_in_meanwhile() {
    let timers = |config: &mut synckairos::config::Config| config.timers.lease = Duration::from_secs(1);
    let mut cluster = Cluster::of(2).shared().in_real_time().with(timers).start().await;
    let bearers = [0, 1].map(|instance| cluster.caller(instance).being(token(json!({"jti": "gone"}))));
    revoke(&admin(&cluster, 0), json!({"jti": "gone"})).await;
    until_refused(&bearers[1], "/v1/sessions").await;
    cluster.backends_mut().redis_mut().kill();
    // Without Redis a change is told by the ledger alone.
    let later = [0, 1].map(|instance| cluster.caller(instance).being(token(json!({"jti": "later"}))));
    eventually("it is taken while Redis is away", async || {
        let answer = admin(&cluster, 0).post(PATH, json!({"jti": "later"})).await;
        (answer.status == 201).then_some(())
    })
    .await;
    cluster.backends_mut().redis_mut().start_again();
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        for caller in &bearers {
            let status = caller.get("/v1/sessions").await.status;
            assert!([401, 503].contains(&status), "a revoked token is good again: {status}");
        }
        tokio::task::yield_now().await;
    }
    for caller in bearers.iter().chain(&later) {
        until_refused(caller, "/v1/sessions").await;
    }
    let key = synckairos::store::keys::Keys::default().control();
    eventually("the copy is back", async || {
        let copy = cluster.backends().redis().unwrap().say(&["HGET", &key, "revision"]);
        (copy == ["2"]).then_some(())
    })
    .await;
    cluster.broken_on_purpose();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_publication_was_lost_is_found_in_the_ledger() {
    let cluster = Cluster::of(2).shared().start().await;
    let other = cluster.caller(1).being(token(json!({"jti": "quiet"})));
    other.get("/v1/sessions").await.expect(200);
    // As another process would write it that dies before it tells anybody.
    let statement = "with next as (update control_revision set revision = revision + 1 returning revision) \
        insert into revocation (tenant, id, kind, target, before, at, revoked_by, expires_at, revision) \
        select 'acme', 'r', 'token', 'quiet', 0, 0, 'x', 9223372036854775807, revision from next \
        returning id";
    cluster.backends().execute(statement).await;
    until_refused(&other, "/v1/sessions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_stream_on_any_instance() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let viewer = cluster.caller(0).being(Authority::Viewer);
    let anonymous = cluster.caller(1).being(Authority::Anonymous);
    let ticket = async || {
        let made = viewer.post("/v1/tickets", json!({})).await.expect(201);
        assert_eq!(
            (made.header("cache-control"), &made.body["expires_at"]),
            ("no-store", &json!("2026-01-01T00:00:30.000Z"))
        );
        made.body["ticket"].as_str().unwrap().to_owned()
    };
    let events = |ticket: &str| format!("{}/events?ticket={ticket}", session.path());
    let first = ticket().await;
    let mut stream = Events::open(&anonymous, &events(&first), None).await;
    assert_eq!(stream.next().await.unwrap().kind, "STATE_SYNC");
    anonymous.get(events(&first)).await.expect(401).refused("unauthenticated");
    let second = ticket().await;
    let mut watcher =
        Watching::of(anonymous.clone(), &session).asking(&format!("ticket={second}")).over(Transport::WebSocket).await;
    watcher.until("STATE_SYNC").await;
    let mut used =
        Watching::of(anonymous.clone(), &session).asking(&format!("ticket={second}")).over(Transport::WebSocket).await;
    assert_eq!(used.until_closed().await, 4500);
    // It is for whom it was issued to.
    watcher.say(json!({"type": "COMMAND", "id": 1, "command": "switch"})).await;
    assert_eq!(watcher.until("ERROR").await["payload"]["code"], "forbidden");
    let third = ticket().await;
    cluster.clock().advance_ms(30_000);
    anonymous.get(events(&third)).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_counts_on_streams_alone_and_ends_with_its_token() {
    let cluster = Cluster::of(1).start().await;
    let session: Session = cluster.caller(0).create(blitz()).await;
    let bearer = cluster.caller(0).being(token(json!({"jti": "t"})));
    let anonymous = cluster.caller(0).being(Authority::Anonymous);
    let ticket =
        async || bearer.post("/v1/tickets", json!({})).await.expect(201).body["ticket"].as_str().unwrap().to_owned();
    let one = ticket().await;
    for path in
        [session.path(), format!("{}/poll", session.path()), "/v1/sessions".to_owned(), "/v1/tickets".to_owned()]
    {
        let method = if path == "/v1/tickets" { Method::POST } else { Method::GET };
        anonymous.asking(method, format!("{path}?ticket={one}")).send().await.expect(401);
    }
    anonymous.get(format!("{}/events?ticket=nonsense", session.path())).await.expect(401);
    anonymous.get(format!("{}/events?ticket=", session.path())).await.expect(401);
    // None of these has used it.
    let path = format!("{}/events?ticket={one}", session.path());
    let mut stream = Events::open(&anonymous, &path, None).await;
    stream.next().await.unwrap();
    let two = ticket().await;
    revoke(&admin(&cluster, 0), json!({"jti": "t"})).await;
    while soon("the end", stream.next_of_any_kind()).await.is_some_and(|event| event.kind != "CLOSE") {}
    anonymous.get(format!("{}/events?ticket={two}", session.path())).await.expect(401);
    anonymous.post("/v1/tickets", json!({})).await.expect(401);
    cluster.caller(0).post("/v1/tickets", json!({"for": "x"})).await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_starts_without_the_ledger_lets_in_by_the_copy_or_not_at_all() {
    let (redis, postgres) = (testkit::redis::Server::start(Keeps::Nothing), testkit::postgres::Server::own(&[]).await);
    redis.set_clock_offset_ms(0);
    let database = postgres.database().await;
    let host = || {
        let host = crate::harness::process::Host::new().with("REDIS_URL", &redis.url());
        host.with("DATABASE_URL", &database).with("JWT_SECRET", crate::harness::token::SECRET)
    };
    let first = host();
    assert!(first.run(&["migrate"]).await.status.success());
    let process = first.serve().await;
    let as_of = |host: &crate::harness::process::Host, authority| host.caller().being(authority);
    let session = as_of(&first, Authority::Operator).create(blitz()).await;
    revoke(&as_of(&first, Authority::Admin), json!({"jti": "gone"})).await;
    process.kill();
    postgres.kill();
    let second = host();
    let process = second.serve().await;
    as_of(&second, token(json!({"jti": "gone"}))).get(session.path()).await.expect(401);
    as_of(&second, Authority::Operator).get(session.path()).await.expect(200);
    let unwritten = as_of(&second, Authority::Admin).post(PATH, json!({"jti": "x"})).await.expect(503);
    assert!(["ledger_unavailable", "outcome_unknown"].contains(&unwritten.code()), "{unwritten:?}");
    process.kill();
    // Redis has lost the copy: nobody knows what is revoked.
    redis.say(&["FLUSHALL"]);
    redis.set_clock_offset_ms(0);
    let third = second;
    let process = third.spawn(&["serve"]);
    eventually("it serves", async || process.log().contains("serving").then_some(())).await;
    let refused = as_of(&third, Authority::Operator).get(session.path()).await.expect(503);
    assert_eq!(refused.code(), "ledger_unavailable");
    assert_eq!(third.caller().get("/ready").await.status, 503);
    assert_eq!(third.caller().get("/health").await.status, 200);
    postgres.start().await;
    eventually("it lets in", async || {
        let answer = as_of(&third, Authority::Operator).get("/v1/sessions").await;
        (answer.status == 200).then_some(())
    })
    .await;
    as_of(&third, token(json!({"jti": "gone"}))).get("/v1/sessions").await.expect(401);
    process.kill();
}
