//! The commands of the binary, and what they refuse.

use std::process::Output;

use testkit::ports::free_address;

use crate::harness::process::{Host, contents};
use crate::harness::{Authority, blitz};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_only_loopback_is_served() {
    let host = Host::new().with("JWT_SECRET", "");
    for address in ["0.0.0.0:0", "[::]:0", "10.1.2.3:0"] {
        let refused = host.run(&["serve", "--listen-addr", address]).await;
        assert_eq!(refused.status.code(), Some(2), "{address}");
        assert!(said(&refused).contains("set JWT_SECRET"), "{}", said(&refused));
    }
    let process = host.serve().await;
    let anyone = host.caller().being(Authority::Anonymous);
    anyone.running(blitz()).await;
    assert_eq!(process.log().matches("JWT_SECRET is not set").count(), 1, "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_prints_the_settings_and_starts_nothing() {
    let host = Host::new().with("DURABLE", "always");
    let checked = host.run(&["serve", "--check", "--max-uncertainty-ms", "7"]).await;
    assert!(checked.status.success(), "{}", said(&checked));
    let report = printed(&checked);
    for line in [
        "DURABLE              always  (environment)",
        "MAX_UNCERTAINTY_MS   7  (flag)",
        "SESSION_IDLE_TTL_MS  3600000  (default)",
    ] {
        assert!(report.contains(line), "{line} in {report}");
    }
    assert!(!report.contains("tests' own key"), "{report}");
    assert!(!host.data().exists());
    for (flag, value) in
        [("--durable", "maybe"), ("--listen-addr", "here"), ("--jwt-secret", "short"), ("--drain-timeout-ms", "-1")]
    {
        let refused = host.run(&["serve", "--check", flag, value]).await;
        assert_eq!(refused.status.code(), Some(2), "{flag}");
        assert!(!said(&refused).contains("panicked") && !printed(&refused).contains("short"), "{}", said(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_exits_by_readiness() {
    let host = Host::new();
    assert_eq!(host.run(&["healthcheck"]).await.status.code(), Some(1));
    let process = host.serve().await;
    assert_eq!(host.run(&["healthcheck"]).await.status.code(), Some(0));
    assert!(process.terminate().await.success());
    assert_eq!(host.run(&["healthcheck"]).await.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_brings_the_schema_up_and_may_be_repeated() {
    let host = Host::new();
    for _ in 0..2 {
        let migrated = host.run(&["migrate"]).await;
        assert!(migrated.status.success(), "{}", said(&migrated));
        assert!(host.ledger().exists());
    }
    let process = host.serve().await;
    host.caller().running(blitz()).await;
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printed_token_has_the_named_role() {
    let host = Host::new();
    let _process = host.serve().await;
    let operator = host.caller();
    let session = operator.running(blitz()).await;
    let arguments = [
        "token",
        "--tenant",
        "acme",
        "--role",
        "participant",
        "--sub",
        "w",
        "--participant-id",
        "white",
        "--session",
        &session.id,
        "--ttl",
        "1m",
    ];
    let token = printed(&host.run(&arguments).await).trim().to_owned();
    let white = operator.being(Authority::Token(token));
    white.command(&session, "switch").await;
    white.command_with(&session, "pause", serde_json::json!({})).await.expect(403);
    let keyless = Host::new().with("JWT_SECRET", "");
    let refused = keyless.run(&["token", "--tenant", "t", "--role", "admin", "--sub", "s"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("JWT_SECRET is not set"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_said_plainly() {
    let host = Host::new();
    let _process = host.serve().await;
    let other = Host::new();
    let taken = host.caller().address().to_string();
    let refused = other.run(&["serve", "--listen-addr", &taken]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains(&format!("failed to listen on {taken}")), "{}", said(&refused));
    assert_ne!(free_address().to_string(), taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_no_secret_is_ever_written_down() {
    let host = Host::new().with("RUST_LOG", "debug");
    let process = host.serve().await;
    let caller = host.caller();
    let session = caller.running(blitz()).await;
    let anyone = caller.being(Authority::Anonymous);
    let token = caller.token().unwrap().to_owned();
    anyone.get(format!("{}/poll?token={token}", session.path())).await.expect(200);
    anyone.get(format!("{}?token={token}", session.path())).await.expect(401);
    anyone.being(Authority::Token("hunter2.hunter2.hunter2".into())).get(session.path()).await.expect(401);
    let log = process.log();
    assert!(process.terminate().await.success());
    let written = String::from_utf8_lossy(&contents(&host.data())).into_owned();
    let signature = token.rsplit('.').next().unwrap();
    for secret in [signature, "hunter2", "tests' own key"] {
        assert!(!log.contains(secret), "{secret} in {log}");
        assert!(!written.contains(secret), "{secret} in the data folder");
    }
}
