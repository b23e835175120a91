//! A Redis Cluster: three masters, and a replica where a test wants one.

use std::io;

use super::protocol::ask;
use super::server::{Keeps, MAX_POLLS, POLL_INTERVAL, Server};
use crate::ports::free_port;

/// How many slots a cluster has.
const SLOTS: usize = 16_384;

/// Three masters that share the slots.
pub struct Trio(pub [Server; 3]);

impl Trio {
    /// Starts the masters, and waits until all agree.
    pub fn start() -> Self {
        let nodes = [0, 1, 2].map(|_| {
            let bus = free_port().to_string();
            Server::with(Keeps::Nothing, &of_cluster(&bus))
        });
        let ports: Vec<_> = nodes.iter().map(|node| (node.port, node.more[3].parse().unwrap())).collect();
        form_cluster(&ports).unwrap();
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

    /// Its address, with every master as a node.
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

/// Makes a cluster of masters that share the slots, each given by its port and its bus port.
///
/// # Errors
/// A master that does not answer.
pub fn form_cluster(masters: &[(u16, u16)]) -> io::Result<()> {
    let (first, count) = (masters[0].0, masters.len());
    for (number, (port, bus)) in masters.iter().enumerate() {
        let slots = [SLOTS * number / count, SLOTS * (number + 1) / count - 1].map(|slot| slot.to_string());
        ask(*port, &["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])?;
        ask(*port, &["CLUSTER", "ADDSLOTSRANGE", &slots[0], &slots[1]])?;
        ask(first, &["CLUSTER", "MEET", "127.0.0.1", &port.to_string(), &bus.to_string()])?;
    }
    Ok(())
}

fn of_cluster(bus: &str) -> [&str; 6] {
    ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1500"]
}
