//! Expiries at their exact instants, once, never early; and time that adds up.

use std::collections::BTreeSet;

use synckairos::domain::session::control::SyncMode;
use synckairos::domain::session::{Owner, Session, Status};

use super::lines::Line;
use super::{Case, Complaint};
use crate::simulation::clock::Truth;

/// No instance's clock is ahead of true time by more.
const AHEAD_MS: i64 = 20;

impl Case<'_> {
    pub fn times(&self, line: &Line<'_>) -> Result<(), Complaint> {
        self.expiries(line)?;
        let sessions = Self::sessions(line);
        sessions.windows(2).try_for_each(|pair| self.adds_up(&pair[0], &pair[1]))
    }

    fn expiries(&self, line: &Line<'_>) -> Result<(), Complaint> {
        let mut seen = BTreeSet::new();
        for version in &self.timeline.versions {
            let stored = version.stored;
            let Some(expired) = stored.change().get("expired").cloned() else { continue };
            let is_lasting = line.has(&stored.entry.link.digest());
            for each in expired.as_array().unwrap() {
                let told = (each["at"].to_string(), each["participant_id"].to_string());
                if is_lasting && !seen.insert(told.clone()) {
                    return self.complain(format!("{told:?} expired twice"));
                }
            }
            let before = stored.base.and_then(|base| self.timeline.states.get(&base));
            let Some(due) = before.and_then(|before| before.deadline()) else {
                return self.complain(format!("{} expired, and no clock ran", stored.position()));
            };
            if due.as_ms() > version.at.as_ms() + AHEAD_MS {
                let (due, at) = (Truth::told(due), Truth::told(version.at));
                return self.complain(format!("{} expired at {due}, told at {at} already", stored.position()));
            }
        }
        Ok(())
    }

    /// Of what all have left, what ran is gone and nothing else, unless a clock ran out in
    /// between or somebody gave or took.
    fn adds_up(&self, before: &Session, after: &Session) -> Result<(), Complaint> {
        let now = after.updated_at;
        let is_plain = before.sync_mode == SyncMode::PerParticipant && !before.is_due(now);
        let is_same_epoch = before.position.epoch == after.position.epoch;
        if !is_plain || !is_same_epoch || self.was_adjusted(after) {
            return Ok(());
        }
        let ran = if before.status == Status::Running { now.since(before.updated_at) } else { 0 };
        let (had, has) = (left(before, before.updated_at), left(after, now));
        if had - ran == has {
            return Ok(());
        }
        let (from, to) = (before.position, after.position);
        self.complain(format!("from {from} to {to} {ran} ms ran, and of {had} ms {has} are left"))
    }

    fn was_adjusted(&self, after: &Session) -> bool {
        let mut made = self.timeline.versions.iter().filter(|version| version.stored.position() == after.position);
        made.any(|version| {
            ["adjust", "revert"].contains(&version.stored.change()["command"].as_str().unwrap_or_default())
        })
    }
}

fn left(session: &Session, now: synckairos::domain::time::Timestamp) -> i64 {
    let seats = 0..session.participants.len();
    seats.filter_map(|seat| session.remaining(Owner::Participant(seat), now)).sum()
}
