//! Where a session stood in the store, and from when to when.

use std::collections::BTreeMap;
use std::sync::Arc;

use synckairos::domain::position::Position;
use synckairos::domain::session::{Session, Status};
use synckairos::domain::time::Timestamp;

use crate::simulation::record::{Event, Stored};

/// It stood there from then until the next.
#[derive(Debug, Clone, Copy)]
struct Stand {
    from: Timestamp,
    at: Option<Position>,
}

/// A death of the store, as one session saw it.
#[derive(Debug, Clone, Copy)]
struct Death {
    at: Timestamp,
    /// Everything up to here was in the ledger, or is still in the store.
    floor: Option<Position>,
    /// Where it stood.
    stood: Option<Position>,
}

/// A version that was stored, and when.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    pub at: Timestamp,
    pub stored: &'a Stored,
}

pub struct Timeline<'a> {
    stands: Vec<Stand>,
    deaths: Vec<Death>,
    pub versions: Vec<Version<'a>>,
    /// What stood at a position, by being stored or taken back.
    pub states: BTreeMap<Position, Arc<Session>>,
}

impl<'a> Timeline<'a> {
    pub fn of(events: &[&'a (Timestamp, Event)]) -> Self {
        let mut timeline =
            Self { stands: Vec::new(), deaths: Vec::new(), versions: Vec::new(), states: BTreeMap::new() };
        for (at, event) in events {
            timeline.add(*at, event);
        }
        timeline
    }

    fn add(&mut self, at: Timestamp, event: &'a Event) {
        match event {
            Event::Stored(stored) => {
                self.versions.push(Version { at, stored });
                self.stands(at, &stored.session);
            }
            Event::Restored { session, .. } => self.stands(at, session),
            Event::LetGo(_) => self.stands.push(Stand { from: at, at: None }),
            Event::Died { stands, stood, recorded, .. } => {
                self.stands.push(Stand { from: at, at: None });
                self.deaths.push(Death { at, floor: (*stands).max(*recorded), stood: *stood });
            }
            Event::Recorded(_) | Event::Tried(_) | Event::Observation { .. } | Event::Fault(_) => {}
        }
    }

    fn stands(&mut self, from: Timestamp, session: &Arc<Session>) {
        self.stands.push(Stand { from, at: Some(session.position) });
        self.states.insert(session.position, Arc::clone(session));
    }

    /// Whether it stood there at some moment of that span.
    pub fn stood(&self, position: Position, from: Timestamp, until: Timestamp) -> bool {
        let ends = self.stands.iter().skip(1).map(|stand| stand.from).chain([Timestamp::NEVER]);
        self.stands
            .iter()
            .zip(ends)
            .any(|(stand, end)| stand.at == Some(position) && stand.from <= until && end >= from)
    }

    /// Whether its deletion was stored by then.
    pub fn was_deleted(&self, by: Timestamp) -> bool {
        self.versions.iter().any(|version| version.at <= by && version.stored.session.status == Status::Deleted)
    }

    /// Whether a version that was stored then may be gone: the store lost it, and the
    /// ledger had not heard of it.
    pub fn may_be_lost(&self, version: &Version<'_>) -> bool {
        let position = version.stored.position();
        self.deaths.iter().any(|death| {
            // Of older lines nothing is left to be lost.
            death.at >= version.at && death.floor < Some(position) && death.stood >= Some(position)
        })
    }

    /// Whether all of the session may be gone.
    pub fn may_be_missing(&self) -> bool {
        self.versions.is_empty() || self.deaths.iter().any(|death| death.floor.is_none())
    }
}
