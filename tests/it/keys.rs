//! Keys that tokens are proven with: of a secret, a file and an address, together, and what changes them.

use std::path::Path;
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use synckairos::config::{Address, Config};
use testkit::certificates::Certificates;

use crate::harness::issuer::{Issuer, key_set, published};
use crate::harness::key_server::KeyServer;
use crate::harness::token::{claims, signed_by};
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Authority, Caller, Cluster, Session, blitz, eventually, soon, with};

const NEW_SECRET: &str = "another secret of the tests, of more than 32 bytes";

/// An operator of the usual tenant, as `issuer` says.
fn operator(issuer: &Issuer) -> Authority {
    Authority::Token(issuer.token(&claims("acme", "operator")))
}

fn caller_of(cluster: &Cluster, issuer: &Issuer) -> Caller {
    cluster.caller(0).being(operator(issuer))
}

async fn status(caller: &Caller) -> u16 {
    caller.get("/v1/sessions").await.status
}

async fn until_status(what: &str, caller: &Caller, wanted: u16) {
    eventually(what, async || (status(caller).await == wanted).then_some(())).await;
}

/// Looks at files often, and asks an address again soon.
fn quick(config: &mut Config) {
    config.timers.key_file_check = Duration::from_millis(20);
    config.timers.jwks_min_interval = Duration::from_millis(50);
}

fn at(url: &str) -> Address {
    Address::new(url)
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    // As a whole: half a file is another file.
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_kind_and_source_prove_together() {
    let (rsa, ed, ec, stranger) = (Issuer::rs256("r"), Issuer::ed25519("o"), Issuer::es256("e"), Issuer::es256("e"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.pem");
    write(&file, format!("{}\n{}", ec.pem(), Issuer::ed25519("unused").pem()));
    let server = KeyServer::start(published(&[&rsa, &ed])).await;
    let cluster = Cluster::of(2).with(|config| {
        config.jwt_public_key_file = Some(file.clone());
        config.jwt_jwks_url = Some(at(&server.url()));
    });
    let cluster = cluster.start().await;
    for issuer in [&rsa, &ed, &ec] {
        for instance in [0, 1] {
            assert_eq!(status(&cluster.caller(instance).being(operator(issuer))).await, 200);
        }
    }
    // The secret proves as before, and alone signs.
    let session = cluster.caller(0).create(blitz()).await;
    caller_of(&cluster, &rsa).post(format!("{}/tokens", session.path()), json!({})).await.expect(201);
    caller_of(&cluster, &stranger).get("/v1/sessions").await.expect(401).refused("unauthenticated");
    let text = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
    for line in [
        "synckairos_token_keys{source=\"secret\"} 1",
        "synckairos_token_keys{source=\"file\"} 2",
        "synckairos_token_keys{source=\"address\"} 2",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_public_keys_only_nobody_is_let_in_without_a_token_and_nothing_is_signed() {
    let issuer = Issuer::ed25519("o");
    let server = KeyServer::start(published(&[&issuer])).await;
    let cluster = Cluster::of(1).open().with(|config| config.jwt_jwks_url = Some(at(&server.url()))).start().await;
    let operator = caller_of(&cluster, &issuer);
    let session = operator.create(blitz()).await;
    operator.being(Authority::Anonymous).get(session.path()).await.expect(401).refused("unauthenticated");
    operator.post(format!("{}/tokens", session.path()), json!({})).await.expect(501).refused("no_signing_key");
    assert_eq!(status(&operator.being(Authority::Operator)).await, 401, "the secret of other clusters");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_gone_proves_nothing_on_any_stream_either() {
    let (old, new) = (Issuer::es256("old"), Issuer::ed25519("new"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    write(&file, published(&[&old, &new]).to_string());
    let cluster = Cluster::of(1).with(|config| {
        quick(config);
        config.jwt_public_key_file = Some(file.clone());
    });
    let cluster = cluster.start().await;
    let (old, new) = (caller_of(&cluster, &old), (caller_of(&cluster, &new), new));
    let session = old.create(blitz()).await;
    let mut ends = Watching::of(old.clone(), &session).over(Transport::WebSocket).await;
    let mut stays = Watching::of(new.0.clone(), &session).over(Transport::WebSocket).await;
    ends.until_version(1).await;
    stays.until_version(1).await;
    let events = old.asking(Method::GET, format!("{}/events", session.path())).begin().await;
    assert_eq!(events.status(), 200);
    let poll = parked_poll(&old, &session).await;
    write(&file, published(&[&new.1]).to_string());
    assert_eq!(ends.until_closed().await, 4500);
    poll.await.unwrap().expect(401).refused("unauthenticated");
    let events = soon("the end of the events", events.into_body().collect()).await.unwrap().to_bytes();
    let events = String::from_utf8_lossy(&events);
    assert!(events.contains("4500"), "{events}");
    assert_eq!(status(&old).await, 401);
    new.0.command(&session, "start").await;
    stays.until_version(2).await;
}

/// A poll that waits for the next version.
async fn parked_poll(caller: &Caller, session: &Session) -> tokio::task::JoinHandle<crate::harness::Answer> {
    let snapshot = caller.get(session.path()).await.expect(200);
    let since = snapshot.header("etag").trim_start_matches("W/").trim_matches('"').to_owned();
    let (caller, path) = (caller.clone(), format!("{}/poll?since={since}&timeout_ms=9000", session.path()));
    // It may come before the key goes or after: it is refused either way.
    tokio::spawn(async move { caller.get(path).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_leaves_the_keys_and_a_whole_one_changes_them() {
    let (old, new) = (Issuer::ed25519("old"), Issuer::ed25519("new"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.pem");
    write(&file, old.pem());
    let cluster = Cluster::of(1).with(|config| {
        quick(config);
        config.jwt_public_key_file = Some(file.clone());
    });
    let cluster = cluster.start().await;
    let (old, other) = (caller_of(&cluster, &old), caller_of(&cluster, &new));
    let loads = async |outcome: &str| {
        let text = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
        let line = format!("synckairos_token_key_loads_total{{source=\"file\",outcome=\"{outcome}\"}} ");
        text.lines().find_map(|each| each.strip_prefix(&line)?.parse::<u32>().ok()).unwrap_or(0)
    };
    for (broken, outcome) in [(&b"half a file"[..], "invalid"), (&vec![b'x'; 300_000], "too_long")] {
        write(&file, broken);
        eventually("the file is looked at", async || (loads(outcome).await == 1).then_some(())).await;
        assert_eq!((status(&old).await, status(&other).await), (200, 401), "{outcome}");
    }
    std::fs::remove_file(&file).unwrap();
    eventually("the file is missed", async || (loads("unreachable").await == 1).then_some(())).await;
    assert_eq!(status(&old).await, 200);
    write(&file, new.pem());
    until_status("the new key counts", &other, 200).await;
    assert_eq!(status(&old).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_changes_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    write(&file, format!("{}\n", crate::harness::token::SECRET));
    let cluster = Cluster::of(1).with(|config| {
        quick(config);
        config.files.insert("JWT_SECRET", file.clone());
    });
    let cluster = cluster.start().await;
    let old = cluster.caller(0);
    let session = old.create(blitz()).await;
    // One that can be guessed changes nothing.
    write(&file, "k".repeat(40));
    let new = old.being(Authority::Token(signed_by(NEW_SECRET, &claims("acme", "operator"))));
    assert_eq!((status(&old).await, status(&new).await), (200, 401));
    write(&file, format!("{NEW_SECRET}\n"));
    until_status("the new secret counts", &new, 200).await;
    assert_eq!(status(&old).await, 401);
    let made = new.post(format!("{}/tokens", session.path()), json!({})).await.expect(201).body;
    let viewer = new.being(Authority::Token(made["token"].as_str().unwrap().to_owned()));
    viewer.get(session.path()).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_refuses_no_good_token() {
    const CALLERS: usize = 4;
    const ROUNDS: usize = 4;
    let issuers: Vec<Issuer> = (0..=ROUNDS).map(|number| Issuer::ed25519(&format!("key-{number}"))).collect();
    let server = KeyServer::start(published(&[&issuers[0]])).await;
    let cluster = Cluster::of(2).with(|config| {
        quick(config);
        config.jwt_jwks_url = Some(at(&server.url()));
    });
    let cluster = cluster.start().await;
    for pair in issuers.windows(2) {
        // Published first, used at once: nobody has asked for it yet.
        server.publishes(published(&[&pair[0], &pair[1]]));
        let asking = (0..CALLERS).map(async |number| {
            for turn in 0..10 {
                let issuer = &pair[(turn + number) % 2];
                let caller = cluster.caller(number % 2).being(operator(issuer));
                assert_eq!(status(&caller).await, 200, "{turn} of {number}");
            }
        });
        futures::future::join_all(asking).await;
    }
    server.publishes(published(&[&issuers[ROUNDS]]));
    let last = caller_of(&cluster, &issuers[ROUNDS]);
    assert_eq!(status(&last).await, 200);
    // Whoever comes with an unknown key brings the news of the one that went.
    let (unknown, gone) = (caller_of(&cluster, &Issuer::ed25519("unknown")), caller_of(&cluster, &issuers[ROUNDS - 1]));
    eventually("the old key is gone", async || {
        status(&unknown).await;
        (status(&gone).await == 401).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_by_the_hundred_cause_one_fetch() {
    let issuer = Issuer::ed25519("known");
    let server = KeyServer::start(published(&[&issuer])).await;
    let cluster = Cluster::of(1).with_any_refusals();
    let cluster = cluster.with(|config| config.jwt_jwks_url = Some(at(&server.url()))).start().await;
    assert_eq!(server.asked(), 1);
    let stranger = Issuer::ed25519("x");
    let asking = (0..200).map(async |number| {
        let header = json!({"alg": "EdDSA", "kid": format!("unknown-{number}")});
        let token = Authority::Token(stranger.token_under(&header, &claims("acme", "operator")));
        status(&cluster.caller(0).being(token)).await
    });
    let answers = futures::future::join_all(asking).await;
    assert!(answers.iter().all(|status| *status == 401), "{answers:?}");
    assert_eq!((server.asked(), status(&caller_of(&cluster, &issuer)).await), (2, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_renewed_with_a_key_that_nobody_knew() {
    let (old, new) = (Issuer::ed25519("old"), Issuer::ed25519("new"));
    let server = KeyServer::start(published(&[&old])).await;
    let cluster = Cluster::of(1).with(|config| config.jwt_jwks_url = Some(at(&server.url()))).start().await;
    let caller = caller_of(&cluster, &old);
    let session = caller.create(blitz()).await;
    let mut watcher = Watching::of(caller.clone(), &session).over(Transport::WebSocket).await;
    watcher.until_version(1).await;
    server.publishes(published(&[&old, &new]));
    // What stands behind it waits with it.
    watcher.say(json!({"type": "AUTH", "id": "auth", "token": new.token(&claims("acme", "operator"))})).await;
    watcher.say(json!({"type": "COMMAND", "id": "start", "command": "start"})).await;
    assert_eq!(watcher.until("ACK").await["id"], "auth");
    assert_eq!(watcher.until("ACK").await["id"], "start");
    let stranger = Issuer::ed25519("stranger").token(&claims("acme", "operator"));
    watcher.say(json!({"type": "AUTH", "token": stranger})).await;
    assert_eq!(watcher.until_closed().await, 4500);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_asked_over_tls_and_only_a_known_authority_answers() {
    let (issuer, certificates, others) = (Issuer::rs256("r"), Certificates::make("keys"), Certificates::make("others"));
    let server = KeyServer::start_tls(published(&[&issuer]), &certificates).await;
    for (authority, expected) in [(Some(&certificates), 200), (Some(&others), 401), (None, 401)] {
        let cluster = Cluster::of(1).with(|config| {
            config.jwt_jwks_url = Some(at(&server.url()));
            config.jwt_jwks_ca_file = authority.map(Certificates::authority);
        });
        assert_eq!(status(&caller_of(&cluster.start().await, &issuer)).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_public_keys_of_use_are_taken_from_an_address() {
    let (good, weak, doubled) = (Issuer::es256("good"), Issuer::ed25519("weak"), Issuer::ed25519("doubled"));
    let short = json!({"kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AQID"});
    let secret =
        json!({"kty": "oct", "kid": "oct", "k": "YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzLCBvZiBtb3JlIHRoYW4gMzIgYnl0ZXM"});
    let private = with(weak.jwk(), json!({"d": "AQID"}));
    let small = json!({"kty": "RSA", "kid": "small", "e": "AQAB", "n": "_w".repeat(64)});
    let twins = [doubled.jwk(), with(Issuer::ed25519("doubled").jwk(), json!({}))];
    let unknown = json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "new"});
    let mut keys = vec![short, secret, private, small, unknown, good.jwk()];
    keys.extend(twins);
    keys.extend((0..500).map(|number| json!({"kty": "OKP", "crv": "Ed25519", "kid": format!("{number}"), "x": "A"})));
    let server = KeyServer::start(key_set(&keys)).await;
    let cluster = Cluster::of(1).open().with(|config| config.jwt_jwks_url = Some(at(&server.url()))).start().await;
    assert_eq!(status(&caller_of(&cluster, &good)).await, 200);
    let of_secret = signed_by(NEW_SECRET, &claims("acme", "operator"));
    for caller in [
        caller_of(&cluster, &weak),
        caller_of(&cluster, &doubled),
        cluster.caller(0).being(Authority::Token(of_secret)),
    ] {
        assert_eq!(status(&caller).await, 401);
    }
    let text = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
    let left_out = |reason: &str| {
        let line = format!("synckairos_token_keys_left_out{{source=\"address\",reason=\"{reason}\"}} ");
        text.lines().find_map(|each| each.strip_prefix(&line)?.parse::<u32>().ok()).unwrap_or(0)
    };
    let expected =
        [("shared_secret", 1), ("private_key", 1), ("weak", 1), ("duplicate", 2), ("unsupported", 1), ("invalid", 501)];
    for (reason, keys) in expected {
        assert_eq!(left_out(reason), keys, "{reason} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_for_claims_count_if_set_and_our_own_tokens_follow_them() {
    let cluster = Cluster::of(1).with(|config| {
        config.jwt_issuers = vec!["https://id.example".into(), "timers".into()];
        config.jwt_audiences = vec!["timers".into()];
    });
    let cluster = cluster.start().await;
    let claiming = |more: Value| cluster.caller(0).claiming(&with(claims("acme", "operator"), more));
    for (more, expected) in [
        (json!({"iss": "https://id.example", "aud": "timers"}), 200),
        (json!({"iss": "timers", "aud": ["other", "timers"]}), 200),
        (json!({}), 401),
        (json!({"iss": "https://id.example"}), 401),
        (json!({"aud": "timers"}), 401),
        (json!({"iss": "https://id.example/", "aud": "timers"}), 401),
        (json!({"iss": "https://id.example", "aud": "other"}), 401),
        (json!({"iss": "https://id.example", "aud": []}), 401),
    ] {
        assert_eq!(status(&claiming(more.clone())).await, expected, "{more}");
    }
    let operator = claiming(json!({"iss": "timers", "aud": "timers"}));
    let session = operator.create(blitz()).await;
    let made = operator.post(format!("{}/tokens", session.path()), json!({})).await.expect(201).body;
    let viewer = operator.being(Authority::Token(made["token"].as_str().unwrap().to_owned()));
    viewer.get(session.path()).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lives_no_longer_than_the_setting_says() {
    let cluster = Cluster::of(1).with(|config| config.max_token_life = Duration::from_mins(10)).start().await;
    let now = cluster.now_ms() / 1_000;
    let claiming = |more: Value| cluster.caller(0).claiming(&with(claims("acme", "operator"), more));
    for (more, expected) in [
        (json!({"exp": now + 600}), 200),
        (json!({"exp": now + 601}), 401),
        (json!({"exp": now + 300, "iat": now - 300}), 200),
        (json!({"exp": now + 300, "iat": now - 301}), 401),
        (json!({"exp": now + 600, "iat": now + 5}), 200),
        (json!({"exp": now + 600, "iat": now + 6}), 401),
        (json!({"exp": now + 600, "nbf": now + 5}), 200),
        (json!({"exp": now + 600, "nbf": now + 6}), 401),
    ] {
        assert_eq!(status(&claiming(more.clone())).await, expected, "{more}");
    }
    let operator = claiming(json!({"exp": now + 600}));
    let session = operator.create(blitz()).await;
    let path = format!("{}/tokens", session.path());
    let refused = operator.post(&path, json!({"ttl_ms": 600_001})).await.expect(422).refused("invalid");
    assert!(refused.body["errors"][0]["detail"].as_str().unwrap().contains("from 1000 to 600000"), "{}", refused.body);
    let made = operator.post(&path, json!({})).await.expect(201).body;
    let viewer = operator.being(Authority::Token(made["token"].as_str().unwrap().to_owned()));
    viewer.get(session.path()).await.expect(200);
    for sub in ["a\u{0}", "a\r\nb", "a\u{202e}b"] {
        operator.post(&path, json!({"sub": sub})).await.expect(422).refused("invalid");
    }
}
