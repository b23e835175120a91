//! Other deployments beside the one that is played: on its Redis and its PostgreSQL, by its
//! sessions' names. None may see anything of another, and none may have another's ledger.

use futures::future::join_all;
use serde_json::json;
use synckairos::ledger::postgres::PostgresLedger;
use tokio::time::{Instant, sleep};

use super::round::Load;
use super::testbed::Testbed;
use crate::harness::process::Host;
use crate::harness::{Session, stopwatch, with};

/// One of another name and one in another database play. One wants the ledger, and one takes the
/// deployment of that Redis for its own, with another ledger.
pub async fn neighbours(testbed: &mut Testbed, load: Load) {
    let url = format!("redis://{}", testbed.redis_door().address);
    let places = [
        Host::new().with("REDIS_URL", &url).with("REDIS_PREFIX", "other"),
        Host::new().with("REDIS_URL", &format!("{url}/1")),
    ];
    let thief = Host::new().with("REDIS_URL", &format!("{url}/2")).with("DATABASE_URL", &testbed.database);
    let stray = Host::new().with("REDIS_URL", &url).with("DATABASE_URL", &ledger_beside(testbed).await);
    let playing = async {
        join_all(places.map(async |host| plays(testbed, host, load).await)).await;
    };
    let refused = [(thief, "another deployment"), (stray, "another ledger")].map(is_refused);
    tokio::join!(playing, join_all(refused));
}

async fn is_refused((host, why): (Host, &str)) {
    let refused = host.run(&["serve"]).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains(why), "{said}");
}

async fn ledger_beside(testbed: &Testbed) -> String {
    let database = testbed.postgres.database().await;
    PostgresLedger::migrate(&database, "neighbour").await.unwrap();
    database
}

/// Sessions called as those of the testbed are its own here, each switch is one version, and
/// nobody else has any.
async fn plays(testbed: &Testbed, host: Host, load: Load) {
    let host = host.with("DATABASE_URL", &ledger_beside(testbed).await);
    let process = host.serve().await;
    let caller = host.caller();
    let sessions = join_all((0..load.sessions).map(async |number| {
        let id = format!("{}-{number}", ["blitz", "stopwatch"][number % 2]);
        caller.running(with(stopwatch(), json!({"session_id": id}))).await
    }))
    .await;
    let until = Instant::now() + load.span;
    let mut version = 2;
    while Instant::now() < until {
        version += 1;
        for session in &sessions {
            assert_eq!(caller.command(session, "switch").await.version(), version, "{}", session.id);
        }
        sleep(load.span / 256).await;
    }
    let timer = Session { id: "timer-0".to_owned() };
    caller.get(timer.path()).await.expect(404);
    assert!(process.terminate().await.success());
}
