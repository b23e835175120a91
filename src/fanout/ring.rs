//! The bounded row of what was newest told of one session.
//!
//! Writes stand in it without a hole between them; warnings stand among them without
//! a position. Places count up and are never used twice, so an old one is known to
//! have fallen off. A hole throws everyone off at once.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::update::{Update, UpdateKind};
use super::{Newest, Settings};
use crate::domain::id::SessionId;
use crate::domain::position::Position;

/// What came of hearing a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    /// It follows what was known.
    Appended,
    /// It was known, or something newer is.
    Known,
    /// Something between is missing: everyone has fallen off.
    Gap,
}

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Slot {
    Entry(Arc<Update>),
    /// Nothing yet: it is the next to be told.
    End,
    /// What stood there is gone.
    Evicted,
}

/// How a subscriber without a place joins.
#[derive(Debug)]
pub(super) enum JoinPoint {
    /// At this place: every entry after the subscriber's position is here.
    At(u64),
    /// With this state, then from `after` on.
    Sync { state: Arc<Update>, after: u64 },
    /// Not at all: there is no such session.
    Missing,
    /// Not yet: no snapshot is here that all later writes follow, so the source must be read.
    Unknown,
}

/// What is new to somebody who keeps up with a session's state.
#[derive(Debug)]
pub(super) struct Delta {
    /// The newest position.
    pub(super) position: Position,
    /// A whole snapshot, to begin from.
    pub(super) snapshot: Option<Bytes>,
    /// The writes after that, oldest first.
    pub(super) since: Vec<Arc<Update>>,
}

#[derive(Debug)]
struct SnapshotEntry {
    position: Position,
    snapshot: Bytes,
    /// The place to go on from.
    after: u64,
    /// `STATE_SYNC` with it, once somebody needed it.
    told: Option<Arc<Update>>,
}

#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Arc<Update>>,
    /// Place of the oldest entry; of the next, if there is none.
    first: u64,
    bytes: usize,
    newest: Option<Position>,
    snapshot: Option<SnapshotEntry>,
    is_deleted: bool,
}

impl Ring {
    pub(super) const fn new() -> Self {
        // Places begin at 1: at 0 everyone has fallen off.
        Self { entries: VecDeque::new(), first: 1, bytes: 0, newest: None, snapshot: None, is_deleted: false }
    }

    /// The place of what is told next.
    pub(super) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) const fn newest(&self) -> Option<Position> {
        self.newest
    }

    pub(super) fn append(&mut self, told: Update, settings: &Settings) -> Merge {
        let Some(position) = told.position else { return Merge::Known };
        let merged = match self.newest {
            Some(newest) if position <= newest => return Merge::Known,
            Some(newest) if !follows(newest, position) => Merge::Gap,
            _ => Merge::Appended,
        };
        if merged == Merge::Gap {
            self.clear();
        }
        self.newest = Some(position);
        self.is_deleted = told.kind == UpdateKind::Deletion;
        let snapshot = told.snapshot.clone();
        self.push(told, settings);
        if let Some(snapshot) = snapshot {
            self.snapshot = Some(SnapshotEntry { position, snapshot, after: self.next(), told: None });
        }
        merged
    }

    /// Warnings: told to those who are here, known to nobody who comes later.
    pub(super) fn warn(&mut self, told: Update, settings: &Settings) {
        if !self.is_deleted {
            self.push(told, settings);
        }
    }

    /// Merges what the source says. Whether that told anything new.
    pub(super) fn read(&mut self, session: &SessionId, newest: Newest, settings: &Settings) -> bool {
        let Newest { position, snapshot, is_deleted } = newest;
        if self.newest.is_none_or(|known| position > known) {
            self.clear();
            self.newest = Some(position);
            self.is_deleted = is_deleted;
            if is_deleted {
                self.push(Update::deletion(session, position), settings);
            } else {
                self.snapshot = Some(SnapshotEntry { position, snapshot, after: self.next(), told: None });
            }
            return true;
        }
        let was_known = self.is_whole();
        if !was_known && let Some(after) = self.after(position) {
            self.snapshot = Some(SnapshotEntry { position, snapshot, after, told: None });
        }
        !was_known && self.is_whole()
    }

    /// Forgets where the session stands; the next read will tell.
    pub(super) fn forget(&mut self) {
        self.clear();
        self.newest = None;
        self.is_deleted = false;
    }

    /// Lets go of what is older than anyone would resume from.
    pub(super) fn trim(&mut self, heard_before: Instant) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.received_at < heard_before && entry.kind != UpdateKind::Deletion)
        {
            self.pop();
        }
    }

    pub(super) fn at(&self, place: u64) -> Slot {
        let Some(index) = place.checked_sub(self.first) else { return Slot::Evicted };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.entries.get(index).map_or(Slot::End, |entry| Slot::Entry(Arc::clone(entry)))
    }

    /// The place from which everything after `last` is told, if all of it is here.
    fn after(&self, last: Position) -> Option<u64> {
        if self.newest == Some(last) {
            // An end is told again to who comes back after it: nothing else will follow.
            return Some(self.next() - u64::from(self.is_deleted));
        }
        let is_next = |entry: &Arc<Update>| entry.position.is_some_and(|position| follows(last, position));
        let index = self.entries.iter().position(is_next)?;
        Some(self.first + index as u64)
    }

    /// Whether a position after the newest one here is claimed to exist.
    pub(super) fn is_before(&self, claimed: Option<Position>) -> bool {
        self.newest.is_some() && self.newest < claimed
    }

    /// How a subscriber joins that has seen `last`, if anything.
    pub(super) fn join_point(&mut self, session: &SessionId, last: Option<Position>) -> JoinPoint {
        if let Some(place) = last.and_then(|last| self.after(last)) {
            return JoinPoint::At(place);
        }
        if self.is_deleted {
            // The session was created again after that deletion, and the store has lost what this client has seen.
            return if self.is_before(last) { JoinPoint::Missing } else { JoinPoint::At(self.next() - 1) };
        }
        let first = self.first;
        match &mut self.snapshot {
            Some(whole) if whole.after >= first => whole.join_point(session),
            _ => JoinPoint::Unknown,
        }
    }

    /// What was told since `seen`; with the newest whole snapshot, where that is not
    /// known any more. `None` if the session's state is not known, or is its end.
    pub(super) fn delta(&self, seen: Option<Position>) -> Option<Delta> {
        let position = self.newest.filter(|_| !self.is_deleted)?;
        let whole = self.snapshot.as_ref().filter(|_| self.is_whole())?;
        let seen = seen.filter(|seen| *seen >= whole.position).and_then(|seen| self.after(seen));
        let snapshot = if seen.is_some() { None } else { Some(whole.snapshot.clone()) };
        let skipped = usize::try_from(seen.unwrap_or(whole.after) - self.first).unwrap_or(usize::MAX);
        let writes = self.entries.iter().skip(skipped).filter(|told| told.position.is_some());
        Some(Delta { position, snapshot, since: writes.cloned().collect() })
    }

    pub(super) const fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    /// Whether whoever comes can be told where the session stands.
    pub(super) fn is_known(&self) -> bool {
        self.is_deleted || self.is_whole()
    }

    fn is_whole(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|whole| whole.after >= self.first)
    }

    fn push(&mut self, told: Update, settings: &Settings) {
        self.bytes += told.size();
        self.entries.push_back(Arc::new(told));
        let is_full = |ring: &Self| ring.entries.len() > settings.ring_entries || ring.bytes > settings.ring_bytes;
        while self.entries.len() > 1 && is_full(self) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.first += 1;
            self.bytes -= entry.size();
        }
        if self.entries.is_empty() {
            self.entries.shrink_to_fit();
        }
    }

    /// Empties it, so that everyone has fallen off, those who had seen all included.
    fn clear(&mut self) {
        self.first = self.next() + 1;
        self.entries.clear();
        self.bytes = 0;
        self.snapshot = None;
    }
}

impl SnapshotEntry {
    fn join_point(&mut self, session: &SessionId) -> JoinPoint {
        let make = || Arc::new(Update::state(session, self.position, &self.snapshot));
        JoinPoint::Sync { state: Arc::clone(self.told.get_or_insert_with(make)), after: self.after }
    }
}

/// Whether nothing can stand between the two.
const fn follows(before: Position, after: Position) -> bool {
    before.epoch == after.epoch && before.version + 1 == after.version
}
