//! What watchers were handed, against what was stored.

use std::collections::BTreeMap;

use bytes::Bytes;
use synckairos::domain::position::Position;
use synckairos::domain::session::Status;
use synckairos::wire::frame;

use super::{Case, Complaint};
use crate::simulation::record::{Event, Observation};

impl Case<'_> {
    /// In order, nothing twice, without a hole, and what was stored there.
    pub fn watchers(&self) -> Result<(), Complaint> {
        let mut lasts = BTreeMap::<usize, Position>::new();
        for (_, event) in &self.events {
            let Event::Observation { watcher, seen, .. } = event else { continue };
            let last = lasts.get(watcher).copied();
            match seen {
                Observation::State(position, frame) => {
                    if last >= Some(*position) {
                        return self.complain(format!("watcher {watcher} was told {position} after {last:?}"));
                    }
                    self.is_state(*watcher, *position, frame)?;
                    lasts.insert(*watcher, *position);
                }
                Observation::Write(position, frames) => {
                    self.follows(*watcher, last, *position)?;
                    self.is_write(*watcher, *position, frames)?;
                    lasts.insert(*watcher, *position);
                }
                Observation::Deleted(position) => {
                    // Who comes back after the end is told of it again.
                    if last > Some(*position) {
                        return self.complain(format!("watcher {watcher} was told the end {position} after {last:?}"));
                    }
                    self.is_deleted(*watcher, *position)?;
                    lasts.insert(*watcher, *position);
                }
                // It may be made anew.
                Observation::Missing => drop(lasts.remove(watcher)),
                Observation::Connected(_) | Observation::Cut => {}
            }
        }
        Ok(())
    }

    fn follows(&self, watcher: usize, last: Option<Position>, position: Position) -> Result<(), Complaint> {
        let is_next = |last: Position| (last.epoch, last.version + 1) == (position.epoch, position.version);
        if last.is_none_or(is_next) {
            return Ok(());
        }
        self.complain(format!("watcher {watcher} was told the write {position} after {last:?}"))
    }

    fn is_write(&self, watcher: usize, position: Position, frames: &[Bytes]) -> Result<(), Complaint> {
        let mut stored = self.timeline.versions.iter().filter(|version| version.stored.position() == position);
        if stored.any(|version| frame::lines(&version.stored.frames).eq(frames.iter().cloned())) {
            return Ok(());
        }
        self.complain(format!("watcher {watcher} was told a write {position} that was never stored"))
    }

    fn is_deleted(&self, watcher: usize, position: Position) -> Result<(), Complaint> {
        if self.timeline.states.get(&position).is_some_and(|session| session.status == Status::Deleted) {
            return Ok(());
        }
        self.complain(format!("watcher {watcher} was told of an end {position} that never was"))
    }

    fn is_state(&self, watcher: usize, position: Position, told: &Bytes) -> Result<(), Complaint> {
        let is_same = self.timeline.states.get(&position).is_some_and(|session| {
            let snapshot = frame::snapshot(session, session.updated_at);
            frame::state_sync(&self.key.session, position, &snapshot) == *told
        });
        if is_same {
            return Ok(());
        }
        self.complain(format!("watcher {watcher} was told a state {position} that never stood"))
    }
}
