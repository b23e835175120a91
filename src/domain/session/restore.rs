//! Restores a session that the store has lost, from its newest audited version.

use super::control::OnOutage;
pub use super::outage::{Gap, OUTAGE_MS, Outage};
use super::{Recovered, Session};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

impl Session {
    /// The same version in a new epoch, made at `now` because it was lost in `outage`.
    pub fn restored(&self, outage: Option<Outage>, now: Timestamp) -> Self {
        self.restored_after(outage.map(Gap::Outage), true, now)
    }

    /// The same version in a new epoch, made at `now`; no caller could act on it in `gap`. It is
    /// marked as recovered only if it was lost, not if it was idle or its process stopped in order.
    pub fn restored_after(&self, gap: Option<Gap>, is_lost: bool, now: Timestamp) -> Self {
        let mut session = self.clone();
        let epoch = now.as_ms().max(self.position.epoch.saturating_add(1));
        session.position = Position { epoch, ..self.position };
        if is_lost {
            session.recovered = Some(Recovered { at: now, from: self.updated_at });
        }
        if let Some(gap) = gap {
            let Outage { from, until } = gap.outage();
            let alive = from.max(self.updated_at);
            if session.rules.on_outage == OnOutage::Pause && until.since(alive) >= gap.least_ms() {
                session.freeze_for_outage(Outage { from: alive, until });
            }
        }
        session.due_at = session.next_due();
        session
    }
}
