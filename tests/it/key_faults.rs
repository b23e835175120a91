//! Keys that an attacker would like, servers of keys that fail, and settings that cannot be.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use synckairos::config::Address;
use tokio::time::Instant;

use crate::harness::issuer::{Issuer, published, rsa_public_pem};
use crate::harness::key_server::{KeyAnswer, KeyServer};
use crate::harness::process::Host;
use crate::harness::token::{claims, signed_under, signed_with};
use crate::harness::{Authority, Caller, Cluster, WAIT_TIMEOUT, eventually, with};

fn operator() -> Value {
    claims("acme", "operator")
}

fn with_token(cluster: &Cluster, token: String) -> Caller {
    cluster.caller(0).being(Authority::Token(token))
}

async fn status(caller: &Caller) -> u16 {
    caller.get("/v1/sessions").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_makes_a_key_of_what_is_none() {
    let (rsa, ed, attacker) = (Issuer::rs256("r"), Issuer::ed25519("o"), Issuer::es256("mine"));
    let (server, theirs) =
        (KeyServer::start(published(&[&rsa, &ed])).await, KeyServer::start(published(&[&attacker])).await);
    let address = Some(Address::new(&server.url()));
    let cluster = Cluster::of(1).with_any_refusals().with(|config| config.jwt_jwks_url = address).start().await;
    let good = rsa.token(&operator());
    assert_eq!(status(&with_token(&cluster, good.clone())).await, 200);
    let mut forged = Vec::new();
    // The public key, in every form it is handed around in, as a shared secret.
    let (pem, jwk) = (rsa.pem(), rsa.jwk().to_string());
    let der = rsa.der().to_vec();
    for public in [pem.as_bytes(), pem.trim().as_bytes(), &der, jwk.as_bytes()] {
        for header in [json!({"alg": "HS256", "kid": "r"}), json!({"alg": "HS256"})] {
            forged.push(signed_with(&header, &operator(), |message| hmac(public, message)));
        }
        let header = json!({"alg": "RS256", "kid": "r"});
        forged.push(signed_with(&header, &operator(), |message| hmac(public, message)));
    }
    for alg in ["none", "None", "nOnE", "", "HS384", "RS384", "PS256", "ES256K", "eddsa", "HS256 "] {
        for signature in [&b""[..], b"x"] {
            forged.push(signed_with(&json!({"alg": alg, "kid": "r"}), &operator(), |_| signature.to_vec()));
        }
    }
    // Keys and addresses of keys of the sender's own.
    for header in [
        json!({"alg": "ES256", "kid": "mine", "jwk": attacker.jwk()}),
        json!({"alg": "ES256", "kid": "mine", "jku": theirs.url()}),
        json!({"alg": "ES256", "kid": theirs.url()}),
        json!({"alg": "ES256", "x5u": theirs.url(), "x5c": [STANDARD.encode(attacker.der())]}),
        json!({"alg": "ES256", "kid": "r"}),
        json!({"alg": "EdDSA", "kid": "o"}),
    ] {
        forged.push(attacker.token_under(&header, &operator()));
    }
    for kid in ["../../dev/null", "/dev/null", "' or 1=1 --", "r\r\nx: y", "\u{0}", "r,o", &"k".repeat(4_000)] {
        for secret in ["", "\u{0}"] {
            forged.push(signed_under(secret, &json!({"alg": "HS256", "kid": kid}), &operator()));
        }
        forged.push(attacker.token_under(&json!({"alg": "ES256", "kid": kid}), &operator()));
    }
    // Good signatures under headers that ask for more than is understood.
    for more in [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"crit": null}),
        json!({"typ": "dpop+jwt"}),
        json!({"typ": "logout+jwt"}),
        json!({"alg": "ES256"}),
        json!({"kid": ["r"]}),
        json!({"kid": {"r": 1}}),
    ] {
        forged.push(rsa.token_under(&with(json!({"alg": "RS256", "kid": "r"}), more), &operator()));
    }
    for token in forged {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        let answer = with_token(&cluster, token).get("/v1/sessions").await;
        assert_eq!((answer.status, answer.code()), (401, "unauthenticated"), "{}", String::from_utf8_lossy(&header));
    }
    assert_eq!((theirs.asked(), status(&with_token(&cluster, good)).await), (0, 200));
    for header in [json!({"alg": "RS256"}), json!({"alg": "RS256", "kid": "r", "typ": "JWT", "jku": theirs.url()})] {
        assert_eq!(status(&with_token(&cluster, rsa.token_under(&header, &operator()))).await, 200, "{header}");
    }
    assert_eq!(theirs.asked(), 0);
}

fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_server_of_keys_does_the_last_good_ones_hold() {
    let (known, unknown) = (Issuer::ed25519("known"), Issuer::ed25519("unknown"));
    let server = KeyServer::start(published(&[&known])).await;
    let elsewhere = KeyServer::start(published(&[&unknown])).await;
    let address = Some(Address::new(&server.url()));
    let cluster = Cluster::of(1).with(|config| {
        config.jwt_jwks_url = address;
        config.timers.jwks_min_interval = Duration::from_millis(10);
        config.timers.jwks_wait = Duration::from_millis(200);
        config.timers.jwks_timeout = Duration::from_millis(500);
    });
    let cluster = cluster.start().await;
    let fails = async |outcome: &str| {
        let text = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
        let line = format!("synckairos_token_key_loads_total{{source=\"address\",outcome=\"{outcome}\"}} ");
        text.lines().find_map(|each| each.strip_prefix(&line)?.parse::<u32>().ok()).unwrap_or(0)
    };
    for (answer, outcome) in [
        (KeyAnswer::Status(500), "status"),
        (KeyAnswer::Status(204), "status"),
        (KeyAnswer::Status(404), "status"),
        (KeyAnswer::Redirect(elsewhere.url()), "redirect"),
        (KeyAnswer::Text("<html>".into()), "invalid"),
        (KeyAnswer::Text("{\"keys\": 7}".into()), "invalid"),
        (KeyAnswer::Text(String::new()), "invalid"),
        (KeyAnswer::Long(300 * 1024), "too_long"),
        (KeyAnswer::Close, "unreachable"),
        (KeyAnswer::Silence, "timeout"),
    ] {
        let before = fails(outcome).await;
        server.answers(answer.clone());
        eventually("a fetch fails", async || {
            let began = Instant::now();
            assert_eq!(status(&with_token(&cluster, unknown.token(&operator()))).await, 401, "{answer:?}");
            assert!(began.elapsed() < WAIT_TIMEOUT / 4, "{answer:?}: {:?}", began.elapsed());
            (fails(outcome).await > before).then_some(())
        })
        .await;
        assert_eq!(status(&with_token(&cluster, known.token(&operator()))).await, 200, "{answer:?}");
    }
    assert_eq!(elsewhere.asked(), 0, "no redirect is followed");
    server.publishes(published(&[&known, &unknown]));
    let caller = with_token(&cluster, unknown.token(&operator()));
    eventually("it is asked again", async || (status(&caller).await == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_keys_that_is_away_at_the_start_is_asked_again() {
    let issuer = Issuer::ed25519("o");
    let server = KeyServer::start(json!({})).await;
    server.answers(KeyAnswer::Status(503));
    let address = Some(Address::new(&server.url()));
    let cluster = Cluster::of(1).with(|config| {
        config.jwt_jwks_url = address;
        config.timers.jwks_min_interval = Duration::from_millis(20);
    });
    let cluster = cluster.start().await;
    assert_eq!(status(&cluster.caller(0)).await, 200, "the secret counts");
    server.publishes(published(&[&issuer]));
    // Nobody's token causes it.
    let asked = server.asked();
    eventually("it is asked again", async || (server.asked() > asked).then_some(())).await;
    let caller = with_token(&cluster, issuer.token(&operator()));
    eventually("its keys count", async || (status(&caller).await == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_keys_do_not_hold_for_ever() {
    let issuer = Issuer::ed25519("o");
    let server = KeyServer::start(published(&[&issuer])).await;
    let address = Some(Address::new(&server.url()));
    let cluster = Cluster::of(1).with(|config| {
        config.jwt_jwks_url = address;
        config.timers.jwks_refresh = Duration::from_millis(50);
        config.timers.jwks_keep = Duration::from_secs(3);
    });
    let cluster = cluster.start().await;
    let caller = with_token(&cluster, issuer.token(&operator()));
    // As long as it answers, they are young.
    eventually("it is asked now and then", async || {
        assert_eq!(status(&caller).await, 200);
        (server.asked() > 5).then_some(())
    })
    .await;
    server.answers(KeyAnswer::Close);
    eventually("they are too old", async || (status(&caller).await == 401).then_some(())).await;
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_keys_that_cannot_be_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let small = file("small.pem", &rsa_public_pem(1_024));
    let empty = file("empty.pem", "");
    let short = file("short.json", r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AQ"}]}"#);
    let secret = file("secret", "hunter2\n");
    let spaces = " ".repeat(40);
    for (settings, says) in [
        (&[("JWT_SECRET", "k k k k k k k k k k k k k k k k k k k")][..], "openssl rand -base64 32"),
        (&[("JWT_SECRET", &*spaces)], "8 of them different ones"),
        (&[("JWT_SECRET_FILE", &*secret)], "JWT_SECRET and JWT_SECRET_FILE are both set"),
        (&[("JWT_SECRET", ""), ("JWT_SECRET_FILE", &*secret)], "JWT_SECRET must be at least 32 bytes"),
        (&[("JWT_SECRET", ""), ("JWT_SECRET_FILE", "/nowhere/at/all")], "failed to read /nowhere/at/all"),
        (&[("JWT_PUBLIC_KEY_FILE", &*small)], "left out are 1 weak"),
        (&[("JWT_PUBLIC_KEY_FILE", &*empty)], "is neither PEM"),
        (&[("JWT_PUBLIC_KEY_FILE", &*short)], "left out are 1 invalid"),
        (&[("JWT_PUBLIC_KEY_FILE", "/nowhere/at/all")], "failed to read /nowhere/at/all"),
        (&[("JWT_JWKS_URL", "http://id.example/jwks")], "JWT_JWKS_URL must be https://"),
        (&[("JWT_JWKS_URL", "https://id.example/jwks"), ("JWT_JWKS_CA_FILE", &*empty)], "for JWT_JWKS_URL"),
        (&[("JWT_JWKS_CA_FILE", &*empty)], "JWT_JWKS_CA_FILE needs JWT_JWKS_URL"),
        (&[("JWT_SECRET", ""), ("JWT_ISSUER", "us")], "JWT_ISSUER needs a key"),
        (&[("JWT_LEEWAY_MS", "300001")], "JWT_LEEWAY_MS must be"),
        (&[("MAX_TOKEN_LIFE_MS", "0")], "MAX_TOKEN_LIFE_MS must be"),
    ] {
        let host = settings.iter().fold(Host::new(), |host, (name, value)| host.with(name, value));
        for arguments in [&["serve", "--check"][..], &["serve"]] {
            let refused = host.run(arguments).await;
            let text = said(&refused);
            assert_eq!(refused.status.code(), Some(2), "{settings:?}: {text}");
            assert!(text.contains(says) && !text.contains("hunter2"), "{settings:?}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_takes_its_secret_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, format!("{}\n", crate::harness::token::SECRET)).unwrap();
    let host = Host::new().with("JWT_SECRET", "").with("JWT_SECRET_FILE", path.to_str().unwrap());
    let checked = host.run(&["serve", "--check"]).await;
    let report = String::from_utf8(checked.stdout).unwrap();
    assert!(report.contains("JWT_SECRET           a secret of 49 bytes"), "{report}");
    let process = host.serve().await;
    assert_eq!(status(&host.caller()).await, 200);
    let printed = host.run(&["token", "--tenant", "acme", "--role", "viewer", "--sub", "s"]).await;
    let token = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
    assert_eq!(status(&host.caller().being(Authority::Token(token))).await, 200);
    assert!(process.terminate().await.success());
    let host = host.with("MAX_TOKEN_LIFE_MS", "");
    let refused = host.run(&["token", "--tenant", "acme", "--role", "viewer", "--sub", "s", "--ttl", "25h"]).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("at most 86400000 ms"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_warns_of_keys_of_others_without_rules() {
    let issuer = Issuer::ed25519("o");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.pem");
    std::fs::write(&path, issuer.pem()).unwrap();
    let host = Host::new().with("JWT_PUBLIC_KEY_FILE", path.to_str().unwrap());
    let printed = async |host: &Host| String::from_utf8(host.run(&["serve", "--check"]).await.stdout).unwrap();
    let report = printed(&host).await;
    assert!(report.contains("warning: JWT_AUDIENCE is not set") && report.contains("warning: JWT_ISSUER"), "{report}");
    let host = host.with("JWT_AUDIENCE", "timers").with("JWT_ISSUER", "https://id.example");
    let report = printed(&host).await;
    assert!(!report.contains("warning"), "{report}");
}
