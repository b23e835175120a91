//! Client certificates: whom they prove, and where they and a token must agree.

use serde_json::json;
use synckairos::config::ClientCertificates;
use synckairos::config::ClientCertificates::{Allowed, Required};
use testkit::certificates::Authority;

use crate::harness::raw::RawResponse;
use crate::harness::secure::{SecureClient, ask, authorization, serving, until_scraped, urn};
use crate::harness::token::{claims, signed};
use crate::harness::{Cluster, blitz, eventually, soon, with};

struct Mutual {
    cluster: Cluster,
    client: SecureClient,
    authority: Authority,
}

/// An instance that asks for certificates, by a clock that certificates of today fit.
async fn mutual(policy: ClientCertificates, has_key: bool) -> Mutual {
    let authority = Authority::new();
    let file = authority.file();
    let plan = Cluster::of(1).in_real_time().with(serving(&authority.server()));
    let plan = plan.with(|config| {
        config.tls.client_ca_file = Some(file);
        config.tls.client = Some(policy);
        if !has_key {
            config.jwt_secret = None;
        }
    });
    let cluster = plan.start().await;
    let client = SecureClient::of(&cluster, &authority);
    Mutual { cluster, client, authority }
}

impl Mutual {
    fn showing(&self, uris: &[&str]) -> SecureClient {
        self.client.showing(&self.authority.client(uris))
    }
}

fn bearer(tenant: &str, role: &str, subject: &str) -> String {
    let claims = with(claims(tenant, role), json!({"sub": subject}));
    format!("authorization: Bearer {}\r\n", signed(&claims))
}

async fn list(client: &SecureClient, headers: &str) -> RawResponse {
    client.ask("GET", "/v1/sessions", headers, "").await
}

fn detail(answer: &RawResponse) -> String {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("unauthenticated")), "{answer:?}");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_proves_its_caller() {
    let mutual = mutual(Allowed, true).await;
    let operator = mutual.showing(&[&urn("operator", "robot%207")]);
    let created = operator.ask("POST", "/v1/sessions", "", &blitz().to_string()).await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = format!("/v1/sessions/{}", created.json()["session_id"].as_str().unwrap());
    let history = async || {
        let history = operator.ask("GET", &format!("{path}/history"), "", "").await;
        (history.status == 200 && String::from_utf8_lossy(&history.body).contains("robot 7")).then_some(())
    };
    eventually("the history names it", history).await;
    let viewer = mutual.showing(&["https://elsewhere.example", &urn("viewer", "v")]);
    assert_eq!(viewer.ask("GET", &path, "", "").await.status, 200);
    assert_eq!(viewer.ask("POST", &format!("{path}/start"), "", "").await.status, 403);
    let foreign = mutual.showing(&["urn:synckairos:rival:admin:a"]);
    assert_eq!(foreign.ask("GET", &path, "", "").await.status, 404);
    // Without a certificate a token does as well.
    assert_eq!(list(&mutual.client, &authorization()).await.status, 200);
    assert!(detail(&list(&mutual.client, "").await).contains("Bearer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_name_one_caller_proves_nobody() {
    let mutual = mutual(Allowed, true).await;
    let good = urn("operator", "a");
    for (uris, says, with_token) in [
        (vec![], "names no caller", 200),
        (vec!["https://elsewhere.example"], "names no caller", 200),
        (vec![&*good, "urn:synckairos:acme:operator:b"], "exactly one URI", 401),
        (vec!["urn:synckairos:acme:root:b"], "exactly one URI", 401),
        (vec!["urn:synckairos:acme:operator:%00"], "exactly one URI", 401),
    ] {
        let client = mutual.showing(&uris);
        let said = detail(&list(&client, "").await);
        assert!(said.contains(says), "{uris:?}: {said}");
        assert_eq!(list(&client, &authorization()).await.status, with_token, "{uris:?}");
    }
    let other = Authority::new();
    assert!(mutual.client.showing(&other.client(&[&good])).is_refused().await, "of another authority");
    let expired = mutual.authority.client_until(&[&good], "-1 hour");
    assert!(mutual.client.showing(&expired).is_refused().await, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_beside_a_certificate_names_the_same_caller() {
    let mutual = mutual(Required, true).await;
    let client = mutual.showing(&[&urn("operator", "a")]);
    assert_eq!(list(&client, &bearer("acme", "operator", "a")).await.status, 200);
    for (tenant, role, subject) in
        [("rival", "operator", "a"), ("acme", "viewer", "a"), ("acme", "admin", "a"), ("acme", "operator", "b")]
    {
        let said = detail(&list(&client, &bearer(tenant, role, subject)).await);
        assert!(said.contains("the same tenant, sub and role"), "{said}");
    }
    let said = detail(&list(&client, "authorization: Bearer nonsense\r\n").await);
    assert!(said.contains("not one that this service signed"), "a bad token is not left out: {said}");
    // What the token allows less counts.
    let limited = with(claims("acme", "operator"), json!({"sub": "a", "sessions": ["one"]}));
    let limited = format!("authorization: Bearer {}\r\n", signed(&limited));
    let created = client.ask("POST", "/v1/sessions", "", &blitz().to_string()).await;
    let path = format!("/v1/sessions/{}", created.json()["session_id"].as_str().unwrap());
    assert_eq!(client.ask("GET", &path, &limited, "").await.status, 404);
    assert!(mutual.client.is_refused().await, "nobody gets in without a certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_callers_are_who_their_certificates_say() {
    for policy in [Required, Allowed] {
        let mutual = mutual(policy, false).await;
        let viewer = mutual.showing(&[&urn("viewer", "v")]);
        assert_eq!(list(&viewer, "").await.status, 200);
        assert_eq!(viewer.ask("POST", "/v1/sessions", "", &blitz().to_string()).await.status, 403);
        assert!(detail(&list(&viewer, &authorization()).await).contains("not one that this service signed"));
        assert!(detail(&list(&mutual.showing(&[]), "").await).contains("names no caller"));
        if policy == Allowed {
            assert!(detail(&list(&mutual.client, "").await).contains("client certificates alone"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_has_no_use_for_a_certificate() {
    let mutual = mutual(Allowed, true).await;
    let client = mutual.showing(&[&urn("operator", "a")]);
    let origin = |origin: &str| format!("origin: {origin}\r\n");
    assert_eq!(list(&client, &origin("https://x")).await.status, 200, "its own");
    for foreign in ["https://evil.example", "null"] {
        assert_eq!(list(&client, &origin(foreign)).await.status, 403, "{foreign}");
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: \
                       bG9hZHRlc3QgbG9hZHRlc3Q=\r\n";
        let answer = client.ask("GET", "/v1/ws", &format!("{}{upgrade}", origin(foreign)), "").await;
        assert_eq!(answer.status, 403, "{foreign}");
        // A token is nothing that a browser shows on its own.
        let with_token = format!("{}{}", origin(foreign), bearer("acme", "operator", "a"));
        assert_eq!(list(&client, &with_token).await.status, 200, "{foreign}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_ends_what_it_proves() {
    let mutual = mutual(Allowed, true).await;
    let session = mutual.client.running(&blitz()).await;
    let brief = mutual.authority.client_until(&[&urn("operator", "a")], "8 seconds");
    let client = mutual.client.showing(&brief);
    let mut kept = client.kept().await;
    assert_eq!(ask(&mut kept, "GET", "/v1/sessions", "", "").await.status, 200);
    let mut events = client.kept().await;
    events.say(&format!("GET {}/events HTTP/1.1\r\nhost: x\r\n\r\n", session.path())).await;
    // The token lasts; the certificate beside it does not.
    let token = bearer("acme", "operator", "a");
    let mut both = client.kept().await;
    both.say(&format!("GET {}/events HTTP/1.1\r\nhost: x\r\n{token}\r\n", session.path())).await;
    until_scraped(&mutual.cluster, "synckairos_subscribers{transport=\"sse\"} 2").await;
    until_scraped(&mutual.cluster, "synckairos_subscribers{transport=\"sse\"} 0").await;
    let said = detail(&ask(&mut kept, "GET", "/v1/sessions", "", "").await);
    assert!(said.contains("has expired"), "{said}");
    assert!(detail(&ask(&mut kept, "GET", "/v1/sessions", &token, "").await).contains("has expired"));
    assert!(client.is_refused().await, "no new connection either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_stays_bound_to_its_certificate() {
    use futures::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    let mutual = mutual(Allowed, true).await;
    let session = mutual.client.running(&blitz()).await;
    let client = mutual.showing(&[&urn("operator", "a")]);
    for (role, is_taken) in [("operator", true), ("admin", false), ("viewer", false)] {
        let mut stream = client.websocket(&format!("{}/ws", session.path()), None).await;
        let token = signed(&with(claims("acme", role), json!({"sub": "a"})));
        let auth = json!({"type": "AUTH", "id": "auth", "token": token}).to_string();
        stream.send(Message::text(auth)).await.unwrap();
        let answer = async {
            loop {
                match stream.next().await.unwrap().unwrap() {
                    Message::Text(text) if text.contains("\"auth\"") => return Ok(text.to_string()),
                    Message::Close(frame) => return Err(frame.map(|frame| u16::from(frame.code))),
                    _ => {}
                }
            }
        };
        let answer = soon("an answer to AUTH", answer).await;
        assert_eq!(answer.is_ok(), is_taken, "{role}: {answer:?}");
    }
}
