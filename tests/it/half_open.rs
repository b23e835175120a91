//! Connections that are dead and do not say so.

use std::time::Duration;

use synckairos::redis::{Address, Redis};
use tokio::time::{Instant, sleep};

use crate::harness::eventually;
use crate::harness::proxy::{Proxy, Way};
use crate::harness::redis::{Keeps, Server};

/// From the end of it until questions are answered.
const GOAL: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_redis_that_is_dead_is_given_up_though_questions_are_asked_on_it_all_the_time() {
    for way in [Way::Mute, Way::Deaf] {
        let server = Server::start(Keeps::Nothing);
        let door = Proxy::to(server.port()).await;
        let url = format!("redis://{}", door.address);
        let redis = Redis::connect(&Address::new(&url, None).unwrap()).await.unwrap();
        redis.ping().await.unwrap();
        door.set(way);
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            assert!(redis.ping().await.is_err());
            sleep(Duration::from_millis(50)).await;
        }
        door.set(Way::Open);
        let began = Instant::now();
        eventually("an answer", async || redis.ping().await.ok()).await;
        assert!(began.elapsed() < GOAL, "{way:?}: {:?}", began.elapsed());
    }
}
