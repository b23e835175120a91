//! However Redis is deployed: over TLS, behind a user with few rights, named by a sentinel.

use super::House;
use crate::redis::{Address, Redis};
use crate::redis_server::{Keeps, Secret, Server, Trio};
use crate::store::SessionStore as _;

/// What a session is put through where it matters only that it can be.
async fn works(house: &House) {
    let (key, held) = house.running("a").await;
    let held = house.switched(&key, &held).await;
    assert_eq!(house.read(&key).await.unwrap().head, held.head);
    assert_eq!(house.waiting().await[&key].len(), 3);
    assert!(house.redis.capacity().await.unwrap().keeps_all());
    house.store.ping().await.unwrap();
}

#[tokio::test]
async fn over_tls_with_an_authority_of_its_own() {
    let secret = Secret::start();
    let address = Address::new(&secret.url(), Some(&secret.trusted())).unwrap();
    works(&House::over(&address).await).await;
    // Whom nobody we know signed for is not spoken to.
    let stranger = Secret::start();
    let address = Address::new(&secret.url(), Some(&stranger.trusted())).unwrap();
    assert!(Box::pin(Redis::connect(&address)).await.is_err());
}

/// The user that the documentation has.
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
    works(&House::at(&trio.url().replace("://", "://sk:secret@")).await).await;
}

#[tokio::test]
async fn as_a_user_with_few_rights() {
    let server = Server::start(Keeps::Nothing);
    grant(&server);
    server.say(&["ACL", "SETUSER", "default", "off"]);
    works(&House::at(&format!("redis://sk:secret@127.0.0.1:{}", server.port())).await).await;
    let wrong = Address::new(&format!("redis://sk:wrong@127.0.0.1:{}", server.port()), None).unwrap();
    assert!(Box::pin(Redis::connect(&wrong)).await.is_err());
}

#[tokio::test]
async fn through_a_sentinel_and_after_what_it_decides() {
    let (mut first, second) = (Server::start(Keeps::Nothing), Server::start(Keeps::Nothing));
    second.say(&["REPLICAOF", "127.0.0.1", &first.port().to_string()]);
    let sentinel = Server::sentinel(&first);
    let url = format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=main", sentinel.port());
    let house = House::at(&url).await;
    works(&house).await;
    let (key, held) = house.running("b").await;
    first.until_copied();
    first.kill();
    // The other takes over what it has, and that is another life.
    let told = async {
        loop {
            match house.store.read(&key).await {
                Ok(Some(held)) if held.needs_restore => return held,
                Ok(Some(_)) => panic!("nobody noticed"),
                _ => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    };
    let found = tokio::time::timeout(std::time::Duration::from_secs(25), told).await.expect("nobody took over");
    assert_eq!(found.head, held.head);
}

#[tokio::test]
async fn in_a_cluster_that_lost_and_regained_a_node() {
    let mut trio = Trio::start();
    let house = House::at(&trio.url()).await;
    works(&house).await;
    for node in 0..3 {
        trio.0[node].kill();
        trio.0[node].start_again();
    }
    let (key, _) = tokio::time::timeout(super::SOON * 2, async {
        loop {
            // It may take the cluster a moment to agree.
            if let Ok(None) = house.store.read(&crate::store::contract::fixtures::key("c")).await {
                return house.running("c").await;
            }
        }
    })
    .await
    .expect("the cluster does not come back");
    assert!(house.waiting().await.contains_key(&key));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_whose_replica_takes_over() {
    let mut trio = Trio::start();
    let replica = trio.replica_of_first();
    let house = House::at(&trio.url()).await;
    let mut sessions = Vec::new();
    for number in 0..30 {
        sessions.push(house.running(&format!("s{number}")).await);
    }
    trio.0[0].until_copied();
    trio.0[0].kill();
    let after = async {
        let mut doubtful = 0;
        for (key, held) in &sessions {
            let found = loop {
                // Until the replica has taken over, nobody is answered.
                if let Ok(found) = house.store.read(key).await {
                    break found.unwrap();
                }
            };
            assert_eq!(found.head, held.head);
            doubtful += usize::from(found.needs_restore);
        }
        doubtful
    };
    let doubtful = tokio::time::timeout(std::time::Duration::from_secs(20), after).await.expect("nobody took over");
    // Where nothing went back, nothing is doubted.
    assert!((1..30).contains(&doubtful), "{doubtful}");
    drop(replica);
}
