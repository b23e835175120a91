//! Every kind of deployment: TLS, a user with few rights, a sentinel, a cluster.

use super::Setup;
use crate::redis::{Redis, RedisUrl};
use crate::store::SessionStore as _;
use testkit::redis::{Keeps, Secret, Server, Trio};

/// Checks that a session can be written, read and audited.
async fn check_works(setup: &Setup) {
    let (key, base) = setup.running("a").await;
    let base = setup.switched(&key, &base).await;
    assert_eq!(setup.read(&key).await.unwrap().head, base.head);
    assert_eq!(setup.entries().await[&key].len(), 3);
    assert!(setup.redis.capacity().await.unwrap().keeps_all());
    setup.store.ping().await.unwrap();
}

#[tokio::test]
async fn over_tls_with_an_authority_of_its_own() {
    let secret = Secret::start();
    let address = RedisUrl::new(&secret.url(), Some(&secret.trusted())).unwrap();
    check_works(&Setup::over(&address).await).await;
    // A certificate of an unknown authority is refused.
    let stranger = Secret::start();
    let address = RedisUrl::new(&secret.url(), Some(&stranger.trusted())).unwrap();
    assert!(Box::pin(Redis::connect(&address)).await.is_err());
}

/// Creates the user of the documentation.
fn grant(server: &Server) {
    let document = include_str!("../../../../docs/RELIABILITY.md");
    let (_, rest) = document.split_once("redis-cli ACL SETUSER synckairos").unwrap();
    let rights = rest.split("```").next().unwrap().replace(['\'', '\\'], "").replace("PASSWORD", "secret");
    let words: Vec<_> = ["ACL", "SETUSER", "sk"].into_iter().chain(rights.split_whitespace()).collect();
    assert_eq!(server.say(&words), ["OK"]);
}

#[tokio::test]
async fn as_a_user_with_few_rights_on_a_cluster() {
    let trio = Trio::start();
    trio.0.iter().for_each(grant);
    for node in &trio.0 {
        node.say(&["ACL", "SETUSER", "default", "on", "resetpass", ">other"]);
    }
    check_works(&Setup::at(&trio.url().replace("://", "://sk:secret@")).await).await;
}

#[tokio::test]
async fn as_a_user_with_few_rights() {
    let server = Server::start(Keeps::Nothing);
    grant(&server);
    server.say(&["ACL", "SETUSER", "default", "off"]);
    check_works(&Setup::at(&format!("redis://sk:secret@127.0.0.1:{}", server.port())).await).await;
    let wrong = RedisUrl::new(&format!("redis://sk:wrong@127.0.0.1:{}", server.port()), None).unwrap();
    assert!(Box::pin(Redis::connect(&wrong)).await.is_err());
}

#[tokio::test]
async fn through_a_sentinel_and_its_failover() {
    let (mut first, second) = (Server::start(Keeps::Nothing), Server::start(Keeps::Nothing));
    second.say(&["REPLICAOF", "127.0.0.1", &first.port().to_string()]);
    let sentinel = Server::sentinel(&first);
    let url = format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=main", sentinel.port());
    let setup = Setup::at(&url).await;
    check_works(&setup).await;
    let (key, base) = setup.running("b").await;
    first.until_copied();
    first.kill();
    // The other takes over, and begins a new generation.
    let failover = async {
        loop {
            match setup.store.read(&key).await {
                Ok(Some(found)) if found.needs_restore => return found,
                Ok(Some(_)) => panic!("the failover was not noticed"),
                _ => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    };
    let found = tokio::time::timeout(std::time::Duration::from_secs(25), failover)
        .await
        .expect("the replica does not take over");
    assert_eq!(found.head, base.head);
}

#[tokio::test]
async fn in_a_cluster_that_lost_and_regained_a_node() {
    let mut trio = Trio::start();
    let setup = Setup::at(&trio.url()).await;
    check_works(&setup).await;
    for node in 0..3 {
        trio.0[node].kill();
        trio.0[node].start_again();
    }
    let (key, _) = tokio::time::timeout(super::TEST_TIMEOUT * 2, async {
        loop {
            // The cluster may take a moment to agree.
            if let Ok(None) = setup.store.read(&crate::store::contract::fixtures::key("c")).await {
                return setup.running("c").await;
            }
        }
    })
    .await
    .expect("the cluster does not come back");
    assert!(setup.entries().await.contains_key(&key));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_whose_replica_takes_over() {
    let mut trio = Trio::start();
    let replica = trio.replica_of_first();
    let setup = Setup::at(&trio.url()).await;
    let mut sessions = Vec::new();
    for number in 0..30 {
        sessions.push(setup.running(&format!("s{number}")).await);
    }
    trio.0[0].until_copied();
    trio.0[0].kill();
    let after = async {
        let mut stale = 0;
        for (key, base) in &sessions {
            let found = loop {
                // Until the replica has taken over, no read is answered.
                if let Ok(found) = setup.store.read(key).await {
                    break found.unwrap();
                }
            };
            assert_eq!(found.head, base.head);
            stale += usize::from(found.needs_restore);
        }
        stale
    };
    let stale =
        tokio::time::timeout(std::time::Duration::from_secs(20), after).await.expect("the replica does not take over");
    // Sessions of the other masters need no restore.
    assert!((1..30).contains(&stale), "{stale}");
    drop(replica);
}
