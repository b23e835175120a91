//! What a crowd is asked and answers. Between processes each is a line of JSON.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::report::latencies::Counted;
use crate::session::Session;
use crate::target::{Target, Transport};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Ask {
    /// Begins anew with this company.
    Gather(Company),
    /// Lets more subscribers in.
    Seat(Vec<Seat>),
    /// Only how it stands.
    Count,
    /// What was seen of these writes; it is forgotten here.
    Harvest(Vec<Sent>),
    /// Ends every connection.
    Cut,
    /// Opens them again. `go_ns` is when that began, `targets` the version each session's subscribers must come to.
    Resume { go_ns: u64, targets: Vec<u64> },
    /// Lets so many leave and come back.
    Recycle(usize),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    Counts(Counts),
    Harvest(Harvest),
}

/// What all subscribers have in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Company {
    pub target: Target,
    pub sessions: Vec<Session>,
    /// So many open their streams at a time.
    pub at_once: usize,
}

/// One subscriber.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seat {
    /// Its place among the company's sessions, and among the target's instances.
    pub session: usize,
    pub instance: usize,
    pub transport: Transport,
    /// The address it connects from.
    pub from: Option<IpAddr>,
}

/// A write that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub session: usize,
    pub version: u64,
    /// When, in nanoseconds of Unix time.
    pub at_ns: u64,
}

/// How the crowd stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Streams that are open now.
    pub open: u64,
    /// Those that gave up.
    pub failed: u64,
    /// Streams that ended by themselves.
    pub lost: u64,
    /// States that were new to whoever got them.
    pub states: u64,
    /// Of those, whole ones that stand in for what was missed.
    pub syncs: u64,
    /// Versions between two that were seen.
    pub skipped: u64,
    /// Changes that were told twice, or out of order.
    pub repeated: u64,
    pub bytes: u64,
    /// Subscribers that came to their target.
    pub right: u64,
    pub first_error: Option<String>,
}

/// What was seen of the writes that were asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Harvest {
    pub delivered: u64,
    /// Until the kernel had it, and until this program read it.
    pub arrival: Counted,
    pub read: Counted,
    /// When the last subscriber had each, in the order asked; zero if none had.
    pub last_ns: Vec<u64>,
    /// How long each subscriber took to its target.
    pub recovery: Counted,
}

impl Counts {
    /// Several crowds as one.
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
    /// Several crowds as one; all were asked about the same writes.
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
    fn what_is_asked_goes_over_a_line() {
        let ask = Ask::Harvest(vec![Sent { session: 1, version: 2, at_ns: 3 }]);
        let line = serde_json::to_string(&ask).unwrap();
        assert!(!line.contains('\n'));
        let Ask::Harvest(sent) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!(sent, [Sent { session: 1, version: 2, at_ns: 3 }]);
    }
}
