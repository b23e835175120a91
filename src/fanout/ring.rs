//! The bounded ring of one session's newest updates.
//!
//! Writes stand in it without a gap between them; warnings stand among them without a
//! position. Places count up and are never reused, so an old place is known to be
//! evicted. A gap evicts every subscriber at once.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::update::{Update, UpdateKind};
use super::{NewestState, Settings};
use crate::domain::id::SessionId;
use crate::domain::position::Position;

/// The outcome of merging a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    /// It follows the newest position.
    Appended,
    /// It, or a later one, was merged before.
    Known,
    /// A write before it is missing: every subscriber was evicted.
    Gap,
}

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Slot {
    Entry(Arc<Update>),
    /// Nothing yet: the next update will stand here.
    End,
    /// The update that stood here is gone.
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

/// What is new to a reader that follows a session's state.
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
    /// `STATE_SYNC` with it, once a subscriber needed it.
    state: Option<Arc<Update>>,
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
        // Places begin at 1: place 0 counts as evicted.
        Self { entries: VecDeque::new(), first: 1, bytes: 0, newest: None, snapshot: None, is_deleted: false }
    }

    /// The place of the next update.
    pub(super) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) const fn newest(&self) -> Option<Position> {
        self.newest
    }

    /// Merges a write that the bus brought.
    pub(super) fn append(&mut self, update: Update, settings: &Settings) -> Merge {
        let Some(position) = update.position else { return Merge::Known };
        let merged = match self.newest {
            Some(newest) if position <= newest => return Merge::Known,
            Some(newest) if !follows(newest, position) => Merge::Gap,
            _ => Merge::Appended,
        };
        if merged == Merge::Gap {
            self.clear();
        }
        self.newest = Some(position);
        self.is_deleted = update.kind == UpdateKind::Deletion;
        let snapshot = update.snapshot.clone();
        self.push(update, settings);
        if let Some(snapshot) = snapshot {
            self.snapshot = Some(SnapshotEntry { position, snapshot, after: self.next(), state: None });
        }
        merged
    }

    /// Appends warnings, which are for present subscribers only.
    pub(super) fn warn(&mut self, update: Update, settings: &Settings) {
        if !self.is_deleted {
            self.push(update, settings);
        }
    }

    /// Merges the source's answer. Whether that was anything new.
    pub(super) fn read(&mut self, session: &SessionId, newest: NewestState, settings: &Settings) -> bool {
        let NewestState { position, snapshot, is_deleted } = newest;
        if self.newest.is_none_or(|known| position > known) {
            self.clear();
            self.newest = Some(position);
            self.is_deleted = is_deleted;
            if is_deleted {
                self.push(Update::deletion(session, position), settings);
            } else {
                self.snapshot = Some(SnapshotEntry { position, snapshot, after: self.next(), state: None });
            }
            return true;
        }
        let had_snapshot = self.has_snapshot();
        if !had_snapshot && let Some(after) = self.after(position) {
            self.snapshot = Some(SnapshotEntry { position, snapshot, after, state: None });
        }
        !had_snapshot && self.has_snapshot()
    }

    /// Forgets the session's state until the next read.
    pub(super) fn forget(&mut self) {
        self.clear();
        self.newest = None;
        self.is_deleted = false;
    }

    /// Evicts entries from before `oldest`. A deletion stays: nothing follows it.
    pub(super) fn trim(&mut self, oldest: Instant) {
        while self.entries.front().is_some_and(|entry| entry.received_at < oldest && entry.kind != UpdateKind::Deletion)
        {
            self.pop();
        }
    }

    pub(super) fn at(&self, place: u64) -> Slot {
        let Some(index) = place.checked_sub(self.first) else { return Slot::Evicted };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.entries.get(index).map_or(Slot::End, |entry| Slot::Entry(Arc::clone(entry)))
    }

    /// Puts the sealed form of an entry in its place; gives what stands there, or would have.
    pub(super) fn replace(&mut self, place: u64, sealed: Update) -> Arc<Update> {
        let index = place.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else { return Arc::new(sealed) };
        if !entry.is_sealed() {
            self.bytes = self.bytes + sealed.size() - entry.size();
            *entry = Arc::new(sealed);
        }
        Arc::clone(entry)
    }

    /// The same for the state that new subscribers begin with.
    pub(super) fn replace_state(&mut self, sealed: Update) -> Arc<Update> {
        let sealed = Arc::new(sealed);
        let state = self.snapshot.as_mut().filter(|entry| Some(entry.position) == sealed.position);
        match state.map(|entry| &mut entry.state) {
            Some(Some(state)) if state.is_sealed() => Arc::clone(state),
            Some(state) => Arc::clone(state.insert(sealed)),
            None => sealed,
        }
    }

    /// The place of the first write after `last`, if all writes since are here.
    fn after(&self, last: Position) -> Option<u64> {
        if self.newest == Some(last) {
            // A client that comes back after the deletion gets it again: nothing else will follow.
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
            Some(entry) if entry.after >= first => entry.join_point(session),
            _ => JoinPoint::Unknown,
        }
    }

    /// The writes since `seen`; with the newest whole snapshot, if `seen` is not in the ring any
    /// more. `None` if the session's state is not known, or the session is deleted.
    pub(super) fn delta(&self, seen: Option<Position>) -> Option<Delta> {
        let position = self.newest.filter(|_| !self.is_deleted)?;
        let newest = self.snapshot.as_ref().filter(|_| self.has_snapshot())?;
        let seen = seen.filter(|seen| *seen >= newest.position).and_then(|seen| self.after(seen));
        let snapshot = if seen.is_some() { None } else { Some(newest.snapshot.clone()) };
        let skipped = usize::try_from(seen.unwrap_or(newest.after) - self.first).unwrap_or(usize::MAX);
        let writes = self.entries.iter().skip(skipped).filter(|update| update.position.is_some());
        Some(Delta { position, snapshot, since: writes.cloned().collect() })
    }

    pub(super) const fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    /// Whether a new subscriber can get the session's state, or its deletion.
    pub(super) fn is_known(&self) -> bool {
        self.is_deleted || self.has_snapshot()
    }

    /// Whether every write after the snapshot is here.
    fn has_snapshot(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|entry| entry.after >= self.first)
    }

    fn push(&mut self, update: Update, settings: &Settings) {
        self.bytes += update.size();
        self.entries.push_back(Arc::new(update));
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

    /// Empties the ring and evicts every subscriber, also one that is up to date.
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
        JoinPoint::Sync { state: Arc::clone(self.state.get_or_insert_with(make)), after: self.after }
    }
}

/// Whether no position lies between the two.
const fn follows(before: Position, after: Position) -> bool {
    before.epoch == after.epoch && before.version + 1 == after.version
}
