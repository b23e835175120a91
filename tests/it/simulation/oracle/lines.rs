//! The line of a session: from where it stands in the end back to its beginning, and what
//! the ledger has beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use synckairos::domain::chain::Digest;
use synckairos::domain::entry::Entry;
use synckairos::domain::position::Position;
use synckairos::domain::session::{Session, Status};

use super::{Case, Complaint};

/// The versions that lead to the newest, oldest first.
pub struct Line<'a> {
    pub entries: Vec<&'a Arc<Entry>>,
    digests: BTreeSet<Digest>,
}

impl Line<'_> {
    /// As the ledger would say it.
    pub fn is_superseded(&self, entry: &Entry) -> bool {
        !self.has(&entry.link.digest())
    }

    pub fn has(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }
}

impl<'a> Case<'a> {
    fn rows(&self) -> &'a [Arc<Entry>] {
        self.outcome.ledger.get(&self.key).map_or(&[], Vec::as_slice)
    }

    /// Where it stands in the end, and the link it made there. Of a deleted one the ledger
    /// knows, if nobody else does.
    fn last(&self) -> Option<(Position, Digest)> {
        if let Some(held) = self.outcome.finals.get(&self.key) {
            return Some((held.session.position, held.head));
        }
        let last = self.rows().iter().max_by_key(|row| row.link.position)?;
        let is_deleted = Session::from_stored(last.body.as_ref()?).ok()?.status == Status::Deleted;
        is_deleted.then(|| (last.link.position, last.link.digest()))
    }

    /// Follows the links back. Every version is there, once, and none is left out.
    pub fn line(&self) -> Result<Line<'a>, Complaint> {
        let mut line = Line { entries: Vec::new(), digests: BTreeSet::new() };
        let Some((last, mut next)) = self.last() else {
            if self.timeline.may_be_missing() {
                return Ok(line);
            }
            return self.complain("it is not there in the end".to_owned());
        };
        let rows: BTreeMap<_, _> = self.rows().iter().map(|row| (row.link.digest(), row)).collect();
        let mut version = last.version;
        while next != Digest::NONE {
            let Some(row) = rows.get(&next) else {
                return self.complain(format!("the ledger has no link that leads to version {version}"));
            };
            if row.link.position.version != version {
                return self.complain(format!("{} stands where version {version} belongs", row.link.position));
            }
            line.digests.insert(next);
            line.entries.push(*row);
            (next, version) = (row.link.previous, version - 1);
        }
        if version != 0 {
            return self.complain(format!("its first link is version {}", version + 1));
        }
        line.entries.reverse();
        Ok(line)
    }

    /// No position has two contents, the newest is the newest, and what is beside the
    /// line was lost by the store.
    pub fn ledger(&self, line: &Line<'_>) -> Result<(), Complaint> {
        let mut seen = BTreeMap::new();
        for row in self.rows() {
            if let Some(twin) = seen.insert(row.link.position, row.link.digest()) {
                let is_same = twin == row.link.digest();
                return self.complain(format!("{} is in the ledger twice, the same: {is_same}", row.link.position));
            }
            if Digest::of(row.body.as_ref().unwrap()) != row.link.body {
                return self.complain(format!("the body of {} is another", row.link.position));
            }
        }
        for version in &self.timeline.versions {
            let digest = version.stored.entry.link.digest();
            let position = version.stored.position();
            if seen.get(&position).is_some_and(|recorded| *recorded != digest) {
                return self.complain(format!("{position} was stored with another content than was recorded"));
            }
            if !line.has(&digest) && !self.timeline.may_be_lost(version) {
                return self
                    .complain(format!("{position} was stored, and is not on the line that leads to the newest"));
            }
        }
        self.epochs(line)
    }

    /// What was lost is told by a new epoch, which is later than all that were lost. Where nothing
    /// stands there is no epoch to tell it: the session is unknown, or deleted as it was before.
    fn epochs(&self, line: &Line<'_>) -> Result<(), Complaint> {
        let last = self.last().map(|(position, _)| position);
        let newest = self.timeline.states.keys().next_back().copied();
        let held = self.outcome.finals.get(&self.key);
        let is_deleted = held.is_none_or(|held| held.session.status == Status::Deleted);
        let is_gone = if last.is_none() { self.timeline.may_be_missing() } else { is_deleted };
        if !is_gone && newest > last {
            return self.complain(format!("it stood at {newest:?}, and stands at {last:?} in the end"));
        }
        let epochs = line.entries.windows(2).find(|pair| pair[0].link.position.epoch > pair[1].link.position.epoch);
        match epochs {
            Some(pair) => self.complain(format!("{} follows {}", pair[1].link.position, pair[0].link.position)),
            None => Ok(()),
        }
    }

    /// The stored sessions of the line, oldest first.
    pub fn sessions(line: &Line<'_>) -> Vec<Session> {
        line.entries.iter().map(|entry| Session::from_stored(entry.body.as_ref().unwrap()).unwrap()).collect()
    }
}
