//! How much a tenant may ask of all instances.

use std::sync::Arc;

use serde_json::json;
use synckairos::domain::id::TenantId;
use synckairos::limits::TenantLimits;

use crate::harness::watch::{Transport, Watching};
use crate::harness::{Authority, Cluster, blitz};

/// A quota of every tenant.
struct Everybody {
    commands: Option<u32>,
    creates: Option<u32>,
}

impl TenantLimits for Everybody {
    fn commands_per_s(&self, _: &TenantId) -> Option<u32> {
        self.commands
    }

    fn creates_per_min(&self, _: &TenantId) -> Option<u32> {
        self.creates
    }
}

async fn with_quotas(commands: Option<u32>, creates: Option<u32>) -> Cluster {
    let limits = Arc::new(Everybody { commands, creates });
    Cluster::of(2).limiting_tenants(limits).embedded().start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_commands_are_counted_over_all_instances() {
    let cluster = with_quotas(Some(10), None).await;
    let session = cluster.caller(0).create(blitz()).await;
    let turn = |number: usize| if number.is_multiple_of(2) { "pause" } else { "resume" };
    cluster.caller(0).command(&session, "start").await;
    for number in 0..9 {
        cluster.caller(number % 2).command(&session, turn(number)).await;
    }
    for instance in [0, 1] {
        let refused = cluster.caller(instance).command_with(&session, "resume", json!({})).await.expect(429);
        assert!(refused.body["detail"].as_str().unwrap().contains("10 commands a second"), "{}", refused.body);
        assert!(refused.header("retry-after") == "1" && refused.body["retry_after_ms"].as_u64() >= Some(50));
        let mut socket = Watching::of(cluster.caller(instance), &session).over(Transport::WebSocket).await;
        let answer = socket.ask(json!({"type": "COMMAND", "command": "resume"})).await;
        assert_eq!(answer["payload"]["code"], "rate_limited", "{answer}");
        let batch = json!({"commands": [{"session_id": session.id, "command": "resume"}]});
        cluster.caller(instance).post("/v1/sessions/batch", batch).await.expect(429).refused("rate_limited");
    }
    // Reads are no commands, and another tenant has a quota of its own.
    cluster.caller(0).get(session.path()).await.expect(200);
    let foreign = cluster.caller(0).being(Authority::Foreign);
    let theirs = foreign.running(blitz()).await;
    foreign.command(&theirs, "pause").await;
    cluster.clock().advance_ms(1_000);
    cluster.caller(1).command(&session, "resume").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_new_sessions_are_counted_by_the_minute() {
    let cluster = with_quotas(None, Some(3)).await;
    let session = cluster.caller(0).create(blitz()).await;
    cluster.caller(1).create(blitz()).await;
    cluster.caller(0).post(format!("{}/clone", session.path()), json!({})).await.expect(201);
    for instance in [0, 1] {
        let refused = cluster.caller(instance).post("/v1/sessions", blitz()).await.expect(429);
        assert!(refused.body["detail"].as_str().unwrap().contains("3 new sessions a minute"), "{}", refused.body);
    }
    cluster.caller(0).command(&session, "start").await;
    cluster.clock().advance_ms(20_000);
    cluster.caller(1).create(blitz()).await;
}
