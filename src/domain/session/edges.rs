//! What will happen if nobody acts, so that a client needs no message while a
//! clock merely runs.

use super::control::Overtime;
use super::{Owner, Session};
use crate::domain::time::Timestamp;

/// The most edges of one clock that a snapshot names; the expiry is always among them.
const MAX_EDGES: usize = 64;

/// The kind of an edge, as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeKind {
    /// The clocks start.
    Start,
    /// So much is left.
    Warning,
    /// A period or block of overtime begins.
    Overtime,
    /// The cycle's time is out; the reserve begins.
    Reserve,
    /// The clock is out.
    Expiry,
}

impl EdgeKind {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Warning => "warning",
            Self::Overtime => "overtime",
            Self::Reserve => "reserve",
            Self::Expiry => "expiry",
        }
    }
}

/// One thing to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EdgeKind,
    /// Whose clock.
    pub owner: Owner,
    /// What the clock shows then.
    pub remaining_ms: i64,
}

impl Session {
    /// What will happen to one clock, soonest first.
    pub fn edges_of(&self, owner: Owner) -> Vec<Edge> {
        let bank = self.bank(owner);
        let (Some(dry), Some(left)) = (bank.dry_at(), bank.left_ms) else {
            return Vec::new();
        };
        let mut edges = Vec::new();
        self.warn(&mut edges, owner, dry, left);
        let end = match (self.reserve_behind(owner), self.control(owner).overtime) {
            (Some((seat, reserve)), _) => self.reserve_edges(&mut edges, seat, dry, reserve),
            (None, Some(overtime)) => self.overtime_edges(&mut edges, owner, dry, overtime),
            (None, None) => dry,
        };
        edges.truncate(MAX_EDGES - 1);
        edges.push(Edge { at: end, kind: EdgeKind::Expiry, owner: self.last_owner(owner), remaining_ms: 0 });
        edges
    }

    /// What will happen to the session, soonest first.
    pub fn edges(&self) -> Vec<Edge> {
        if let Some(at) = self.starts_at {
            let mut started = self.clone();
            started.begin(at);
            let start = Edge { at, kind: EdgeKind::Start, owner: Owner::Session, remaining_ms: 0 };
            return std::iter::once(start).chain(started.edges()).collect();
        }
        let owner = if self.is_simultaneous() { self.soonest() } else { self.running() };
        owner.map(|owner| self.edges_of(owner)).unwrap_or_default()
    }

    fn warn(&self, edges: &mut Vec<Edge>, owner: Owner, dry: Timestamp, left: i64) {
        let thresholds = self.rules.warnings_ms.iter().filter(|ms| **ms < left);
        edges.extend(thresholds.map(|ms| Edge { at: dry - *ms, kind: EdgeKind::Warning, owner, remaining_ms: *ms }));
    }

    fn reserve_edges(&self, edges: &mut Vec<Edge>, seat: usize, dry: Timestamp, reserve: i64) -> Timestamp {
        let owner = Owner::Participant(seat);
        edges.push(Edge { at: dry, kind: EdgeKind::Reserve, owner, remaining_ms: reserve });
        self.warn(edges, owner, dry + reserve, reserve);
        dry + reserve
    }

    fn overtime_edges(&self, edges: &mut Vec<Edge>, owner: Owner, dry: Timestamp, overtime: Overtime) -> Timestamp {
        let end = self.bank(owner).deadline(self.control(owner)).unwrap_or(dry);
        let mut at = dry;
        while at < end && edges.len() < MAX_EDGES {
            let period_ms = overtime.period_ms();
            edges.push(Edge { at, kind: EdgeKind::Overtime, owner, remaining_ms: period_ms });
            at = at + period_ms;
            self.warn(edges, owner, at, period_ms);
        }
        end
    }

    fn last_owner(&self, owner: Owner) -> Owner {
        self.reserve_behind(owner).map_or(owner, |(seat, _)| Owner::Participant(seat))
    }
}
