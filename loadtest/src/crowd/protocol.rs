//! Requests to a crowd and its replies. Between processes each is a line of JSON.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::report::latencies::LatencyCounts;
use crate::session::Session;
use crate::target::{Target, Transport};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Drops all subscribers, and starts again with this plan.
    Reset(CrowdPlan),
    /// Adds subscribers.
    Add(Vec<SubscriberSpec>),
    /// Asks for the counts only.
    Count,
    /// Asks for the deliveries of these writes, and drops them.
    Harvest(Vec<Sent>),
    /// Ends every connection.
    Cut,
    /// Opens them again. `go_ns` is when that began, `targets` the version that each session's subscribers must reach.
    Resume { go_ns: u64, targets: Vec<u64> },
    /// Lets this many leave and reconnect.
    Recycle(usize),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    Counts(Counts),
    Harvest(Harvest),
}

/// The settings that all subscribers share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CrowdPlan {
    pub target: Target,
    pub sessions: Vec<Session>,
    /// Streams that open at a time.
    pub max_opening: usize,
}

/// One subscriber.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubscriberSpec {
    /// Its index among the plan's sessions, and among the target's instances.
    pub session: usize,
    pub instance: usize,
    pub transport: Transport,
    /// The address it connects from.
    pub from: Option<IpAddr>,
}

/// A command that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub session: usize,
    pub version: u64,
    /// The time, in nanoseconds of Unix time.
    pub at_ns: u64,
}

/// The state of a crowd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Streams that are open now.
    pub open: u64,
    /// Subscribers that gave up.
    pub failed: u64,
    /// Streams that ended by themselves.
    pub lost: u64,
    /// States that were new to their subscriber.
    pub states: u64,
    /// Whole states among those, in place of missed ones.
    pub syncs: u64,
    /// Versions missing between two received.
    pub skipped: u64,
    /// Changes received twice, or out of order.
    pub repeated: u64,
    pub bytes: u64,
    /// Subscribers that reached their target.
    pub right: u64,
    pub first_error: Option<String>,
}

/// The deliveries of the requested writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Harvest {
    pub delivered: u64,
    /// The time until the kernel had a delivery, and until this program read it.
    pub arrival: LatencyCounts,
    pub read: LatencyCounts,
    /// When the last subscriber received each write, in the order of the request; zero if none did.
    pub last_ns: Vec<u64>,
    /// The time of each subscriber to its target.
    pub recovery: LatencyCounts,
}

impl Counts {
    /// Adds the counts of another crowd.
    pub fn add(mut self, other: Self) -> Self {
        self.open += other.open;
        self.failed += other.failed;
        self.lost += other.lost;
        self.states += other.states;
        self.syncs += other.syncs;
        self.skipped += other.skipped;
        self.repeated += other.repeated;
        self.bytes += other.bytes;
        self.right += other.right;
        self.first_error = self.first_error.or(other.first_error);
        self
    }
}

impl Harvest {
    /// Adds the harvest of another crowd, of the same writes.
    pub fn add(mut self, other: Self) -> Self {
        self.delivered += other.delivered;
        self.arrival.extend(other.arrival);
        self.read.extend(other.read);
        self.recovery.extend(other.recovery);
        self.last_ns.resize(self.last_ns.len().max(other.last_ns.len()), 0);
        self.last_ns.iter_mut().zip(other.last_ns).for_each(|(mine, theirs)| *mine = theirs.max(*mine));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_add_up() {
        let one = Harvest { delivered: 1, arrival: vec![(5, 1)], last_ns: vec![10, 0], ..Harvest::default() };
        let other = Harvest { delivered: 2, arrival: vec![(7, 2)], last_ns: vec![8, 9], ..Harvest::default() };
        let both = one.add(other);
        assert_eq!((both.delivered, both.arrival, both.last_ns), (3, vec![(5, 1), (7, 2)], vec![10, 9]));
        let counts = |open, error: &str| Counts { open, first_error: Some(error.to_owned()), ..Counts::default() };
        assert_eq!(counts(1, "a").add(counts(2, "b")), counts(3, "a"));
    }

    #[test]
    fn a_request_is_one_line() {
        let request = Request::Harvest(vec![Sent { session: 1, version: 2, at_ns: 3 }]);
        let line = serde_json::to_string(&request).unwrap();
        assert!(!line.contains('\n'));
        let Request::Harvest(sent) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!(sent, [Sent { session: 1, version: 2, at_ns: 3 }]);
    }
}
