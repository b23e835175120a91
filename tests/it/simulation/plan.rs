//! What is to happen in a schedule: all of it follows from a seed, and any part of it may
//! be left out.

use std::fmt;

use serde_json::{Value, json};

use super::link::Weather;
use crate::harness::rng::Rng;

/// Commands and faults begin within so long.
const ACTIVE_MS: usize = 6_000;

/// A schedule.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub instances: usize,
    /// What each session is made of.
    pub sessions: Vec<Value>,
    pub clients: Vec<Vec<Step>>,
    /// Which session each watches.
    pub watchers: Vec<usize>,
    pub faults: Vec<Fault>,
    pub weather: Weather,
}

/// What a client does, once it has done what came before.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name, whatever else is left out.
    pub number: usize,
    pub at_ms: u64,
    pub session: usize,
    pub what: StepKind,
    pub has_key: bool,
    /// It is asked twice at once, as by a client that does not wait.
    pub is_doubled: bool,
    pub names_version: bool,
}

/// What a step asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    Create,
    Command(&'static str, Value),
    Delete,
    /// Where it stands.
    Look,
}

/// Something breaks, and is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub at_ms: u64,
    pub for_ms: u64,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An instance dies, and another takes its place.
    Crash(usize),
    /// An instance leaves in peace, and another takes its place.
    Leave(usize),
    /// The store dies, and comes back with all it had.
    StoreDies,
    /// The store dies, and comes back with what it had so many milliseconds before.
    StoreGoesBack(u64),
    /// The store dies, and comes back with nothing.
    StoreForgets,
    /// A link is cut.
    Cut(usize, Way),
    /// All links of an instance stand still: nothing is lost, all is late.
    Freeze(usize),
    /// All links are slow, and lose much.
    Storm,
    LedgerAway,
    /// The store lets go of what has been idle.
    LetGo,
}

/// A link of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Store,
    Ear,
    Leases,
    Outbox,
    Ledger,
}

impl Way {
    pub const ALL: [Self; 5] = [Self::Store, Self::Ear, Self::Leases, Self::Outbox, Self::Ledger];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} for {} ms", self.kind, self.at_ms, self.for_ms)
    }
}

impl Plan {
    /// What follows from a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::of(seed);
        let instances = 2 + rng.below(2);
        let sessions: Vec<_> = (0..=rng.below(2)).map(|_| configuration(&mut rng)).collect();
        let clients = (0..2 + rng.below(2)).map(|client| steps(&mut rng, client, sessions.len())).collect();
        let watchers = (0..=rng.below(3)).map(|_| rng.below(sessions.len())).collect();
        let mut faults: Vec<_> = (0..rng.below(6)).map(|_| fault(&mut rng, instances)).collect();
        let weather = *rng.one_of(&[
            Weather::FAIR,
            Weather { delay_ms: 5, slow: 0, lost: 0 },
            Weather { delay_ms: 20, slow: 1, lost: 5 },
            Weather { delay_ms: 60, slow: 3, lost: 30 },
        ]);
        faults.extend(relapse(&mut rng, &faults));
        Self { seed, instances, sessions, clients, watchers, faults, weather }
    }

    /// The generator of one part of the world, the same whatever else is left out.
    pub fn rng(&self, part: &str, number: u64) -> Rng {
        let text = part.bytes().fold(number, |sum, byte| sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
        let mut mixed = Rng::of(self.seed ^ text.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Rng::of(mixed.below(usize::MAX) as u64)
    }

    /// When nothing is broken any more.
    pub fn mended_ms(&self) -> u64 {
        self.faults.iter().map(|fault| fault.at_ms + fault.for_ms).max().unwrap_or(0)
    }
}

fn steps(rng: &mut Rng, client: usize, sessions: usize) -> Vec<Step> {
    let mut at_ms = 0;
    let mut steps = Vec::new();
    for number in 0..3 + rng.below(10) {
        at_ms += rng.below(ACTIVE_MS / 8) as u64;
        let is_first = number == 0 && client < sessions;
        let (session, what) = if is_first { (client, StepKind::Create) } else { (rng.below(sessions), what(rng)) };
        let (has_key, names_version) = (rng.chance(60), rng.chance(20));
        let is_doubled = has_key && rng.chance(20);
        steps.push(Step { number, at_ms, session, what, has_key, is_doubled, names_version });
    }
    steps
}

fn what(rng: &mut Rng) -> StepKind {
    match rng.below(40) {
        0 => StepKind::Delete,
        1..=4 => StepKind::Look,
        5 => StepKind::Create,
        _ => {
            let (name, body) = command(rng);
            StepKind::Command(name, body)
        }
    }
}

fn command(rng: &mut Rng) -> (&'static str, Value) {
    let person = format!("p{}", rng.below(2));
    match rng.below(20) {
        0..=4 => ("start", json!({})),
        5..=11 => ("switch", json!({})),
        12 | 13 => ("pause", json!({"reason": *rng.one_of(&["a", "b"])})),
        14 | 15 => ("resume", json!({})),
        16 | 17 => ("adjust", json!({"participant_id": person, "add_ms": 1 + rng.span_ms()})),
        18 => ("adjust", json!({"add_ms": 1 + rng.span_ms()})),
        19 if rng.chance(30) => ("revert", json!({"to_version": 1 + rng.below(4)})),
        _ if rng.chance(30) => ("complete", json!({})),
        _ if rng.chance(20) => ("cancel", json!({})),
        _ => ("start", json!({"participant_id": person})),
    }
}

fn configuration(rng: &mut Rng) -> Value {
    let span = 500 + rng.below(4_000);
    let action = *rng.one_of(&["expire", "expire", "advance", "pause"]);
    let people = json!([{"participant_id": "p0"}, {"participant_id": "p1"}]);
    match rng.below(4) {
        0 => json!({"sync_mode": "global", "total_time_ms": span, "participants": people}),
        1 => json!({
            "sync_mode": "per_cycle", "time_per_cycle_ms": span, "participants": people,
            "action_on_timeout": {"type": action}}),
        _ => json!({
        "sync_mode": "per_participant", "total_time_ms": span, "action_on_timeout": {"type": action},
        "participants": [
            {"participant_id": "p0", "total_time_ms": span},
            {"participant_id": "p1", "total_time_ms": span},
        ]}),
    }
}

/// A store that died once dies again when it has hardly begun to live.
fn relapse(rng: &mut Rng, faults: &[Fault]) -> Option<Fault> {
    let is_death = |fault: &&Fault| matches!(fault.kind, Kind::StoreDies | Kind::StoreGoesBack(_) | Kind::StoreForgets);
    let first = faults.iter().find(is_death).filter(|_| rng.chance(40))?;
    let at_ms = first.at_ms + first.for_ms + 20 + rng.below(100) as u64;
    let for_ms = 20 + rng.below(200) as u64;
    let kind = if rng.chance(50) { Kind::StoreForgets } else { Kind::StoreGoesBack(1 + rng.below(100) as u64) };
    Some(Fault { at_ms, for_ms, kind })
}

fn fault(rng: &mut Rng, instances: usize) -> Fault {
    let at_ms = (300 + rng.below(ACTIVE_MS)) as u64;
    // Now and then long enough for nobody to be charged.
    let longest = *rng.one_of(&[100, 100, 1_000, 1_000, 3_000, 3_000, 9_000]);
    let for_ms = (20 + rng.below(longest)) as u64;
    let kind = match rng.below(13) {
        0..=2 => Kind::Crash(rng.below(instances)),
        3 => Kind::Leave(rng.below(instances)),
        4 => Kind::StoreDies,
        5 | 6 => Kind::StoreGoesBack(1 + rng.below(1_000) as u64),
        7 => Kind::StoreForgets,
        8 | 9 => Kind::Cut(rng.below(instances), *rng.one_of(&Way::ALL)),
        10 => {
            if rng.chance(50) {
                Kind::Storm
            } else {
                Kind::LetGo
            }
        }
        11 => Kind::Freeze(rng.below(instances)),
        _ => Kind::LedgerAway,
    };
    Fault { at_ms, for_ms, kind }
}
