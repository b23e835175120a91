//! What may happen to a Redis that is not merely killed or cut off.

use std::time::Duration;

use synckairos::store::keys::Keys;
use synckairos::store::partition::Partition;
use testkit::redis::{Server, Trio};
use tokio::time::{Instant, sleep};

use super::round::Load;
use super::testbed::{Redis, Testbed};
use crate::harness::eventually;

/// The same command again and again.
pub async fn commands(testbed: &mut Testbed, load: Load, every: Duration, words: &[&str]) {
    let until = Instant::now() + load.span;
    while Instant::now() < until {
        testbed.server().say(words);
        sleep(every).await;
    }
}

/// Below what it holds already: nothing that needs memory is done.
pub async fn memory_full(testbed: &mut Testbed, load: Load) {
    testbed.server().say(&["CONFIG", "SET", "maxmemory", "1mb"]);
    sleep(load.span).await;
    testbed.server().say(&["CONFIG", "SET", "maxmemory", "0"]);
}

/// All slots of the first master's partitions go to the second, with their keys.
pub async fn cluster_migration(testbed: &mut Testbed, _: Load) {
    let Redis::Cluster { trio, replica } = &testbed.redis else { panic!("there is no cluster") };
    let [from, to, other] = &trio.0;
    let id = |server: &Server| server.say(&["CLUSTER", "MYID"]).concat();
    let (from_id, to_id) = (id(from), id(to));
    let mut moved = 0;
    for partition in Partition::all() {
        let slot = from.say(&["CLUSTER", "KEYSLOT", &Keys::default().due(partition)]).concat();
        if slot.parse::<u32>().unwrap() >= 16_384 / 3 {
            continue;
        }
        to.say(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        from.say(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        move_keys(from, to, &slot).await;
        for node in [to, from, other, replica] {
            node.say(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
        moved += 1;
    }
    println!("  {moved} partitions moved to another master");
}

async fn move_keys(from: &Server, to: &Server, slot: &str) {
    loop {
        let found = from.say(&["CLUSTER", "GETKEYSINSLOT", slot, "100"]);
        if found.is_empty() {
            return;
        }
        for key in found {
            from.say(&["MIGRATE", "127.0.0.1", &to.port().to_string(), &key, "0", "1000"]);
            // Half of a partition is here and half is there for a while.
            sleep(Duration::from_millis(2)).await;
        }
    }
}

pub async fn cluster_failover(testbed: &mut Testbed, _: Load) {
    let Redis::Cluster { trio: Trio([first, ..]), replica } = &mut testbed.redis else { panic!("there is no cluster") };
    first.kill();
    eventually("the replica takes over", async || is_master(replica).then_some(())).await;
}

/// A replica that has not heard the last third of a second takes over.
pub async fn sentinel_failover(testbed: &mut Testbed, _: Load) {
    let Redis::WithSentinel { master, replica, .. } = &mut testbed.redis else { panic!("there is no sentinel") };
    replica.freeze();
    sleep(Duration::from_millis(300)).await;
    master.kill();
    replica.thaw();
    eventually("the replica takes over", async || is_master(replica).then_some(())).await;
}

fn is_master(server: &Server) -> bool {
    server.say(&["ROLE"]).first().is_some_and(|role| role == "master")
}
