//! A Redis Cluster: three masters, and a replica where a test wants one.

use super::server::{Keeps, MAX_POLLS, POLL_INTERVAL, Server};
use crate::ports::free_port;

/// Three masters that share the slots.
pub struct Trio(pub [Server; 3]);

impl Trio {
    pub fn start() -> Self {
        let nodes = [0, 1, 2].map(|_| {
            let bus = free_port().to_string();
            Server::with(Keeps::Nothing, &of_cluster(&bus))
        });
        for (number, node) in nodes.iter().enumerate() {
            let slots = [16_384 * number / 3, 16_384 * (number + 1) / 3 - 1].map(|slot| slot.to_string());
            node.say(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            node.say(&["CLUSTER", "ADDSLOTSRANGE", &slots[0], &slots[1]]);
            nodes[0].say(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &node.more[3]]);
        }
        let trio = Self(nodes);
        assert!((0..MAX_POLLS).any(|_| trio.agrees()), "the cluster does not come about");
        trio
    }

    /// Another node, which takes the first one's place when that is gone.
    pub fn replica_of_first(&self) -> Server {
        let bus = free_port().to_string();
        let (first, replica) = (&self.0[0], Server::with(Keeps::Nothing, &of_cluster(&bus)));
        let id = first.say(&["CLUSTER", "MYID"]);
        first.say(&["CLUSTER", "MEET", "127.0.0.1", &replica.port.to_string(), &bus]);
        replica.until("the replica does not know of its master", |replica| {
            replica.say(&["CLUSTER", "REPLICATE", &id[0]]) == ["OK"]
        });
        let nodes = |server: &Server| server.say(&["CLUSTER", "INFO"]).concat().contains("cluster_known_nodes:4");
        for node in self.0.iter().chain([&replica]) {
            node.until("the nodes do not know each other", nodes);
        }
        replica.until("the replica does not follow", |replica| {
            replica.say(&["INFO", "replication"]).concat().contains("master_link_status:up")
        });
        replica
    }

    pub fn url(&self) -> String {
        let [first, second, third] = &self.0;
        format!("redis-cluster://127.0.0.1:{}?node=127.0.0.1:{}&node=127.0.0.1:{}", first.port, second.port, third.port)
    }

    fn agrees(&self) -> bool {
        std::thread::sleep(POLL_INTERVAL);
        let knows_all = |node: &Server| {
            let info = node.say(&["CLUSTER", "INFO"]).concat();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3") && info.contains("size:3")
        };
        self.0.iter().all(knows_all)
    }
}

fn of_cluster(bus: &str) -> [&str; 6] {
    ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1500"]
}
