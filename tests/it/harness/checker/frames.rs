//! What each client was told, over all its connections: in order, nothing twice, and
//! nothing left out untold.

use std::collections::{HashMap, HashSet};

use synckairos::domain::position::Position;

use super::case::Case;
use super::{Law, Verdict};
use crate::harness::history::FrameRecord;

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    let mut watchers: HashMap<&str, Watcher<'_>> = HashMap::new();
    for seen in &case.seen {
        let watcher = watchers.entry(&seen.client).or_default();
        if let Some(why) = watcher.wrong(seen) {
            let before = watcher.last.map(FrameRecord::told);
            verdict.broken(Law::Frames, case, before.into_iter().chain([seen.told(), why.to_owned()]));
        }
        watcher.learn(seen);
    }
}

#[derive(Default)]
struct Watcher<'a> {
    last: Option<&'a FrameRecord>,
    position: Option<Position>,
    is_first: bool,
    /// What ran out, by the position that told.
    expired: HashSet<(Position, String)>,
}

impl<'a> Watcher<'a> {
    fn wrong(&self, seen: &FrameRecord) -> Option<&'static str> {
        let (at, before) = (seen.position, self.position);
        match seen.kind.as_str() {
            "STATE_SYNC" if self.is_first && at < before => Some("it goes back"),
            "STATE_SYNC" if !self.is_first && at <= before => Some("it was there already"),
            "STATE_UPDATE" | "SESSION_DELETED" if at <= before => Some("it was there already"),
            "STATE_UPDATE" => match (before, at) {
                (None, _) => Some("no state came first"),
                (Some(before), Some(at)) if before.epoch == at.epoch && before.version + 1 != at.version => {
                    Some("something between was left out")
                }
                _ => None,
            },
            "TIME_EXPIRED" if at != before => Some("it belongs to another change"),
            "TIME_EXPIRED" if at.is_some_and(|at| self.expired.contains(&(at, content(seen)))) => {
                Some("it was told already")
            }
            _ => None,
        }
    }

    fn learn(&mut self, seen: &'a FrameRecord) {
        match (seen.kind.as_str(), seen.position) {
            ("OPENED", last) => {
                self.is_first = true;
                // Who says nothing of where it stood begins anew, but never earlier.
                self.position = last.or(self.position);
            }
            ("TIME_EXPIRED", Some(position)) => {
                self.expired.insert((position, content(seen)));
            }
            ("STATE_SYNC" | "STATE_UPDATE" | "SESSION_DELETED", position) => {
                (self.position, self.is_first, self.last) = (position.max(self.position), false, Some(seen));
            }
            _ => {}
        }
    }
}

fn content(seen: &FrameRecord) -> String {
    seen.content.clone().unwrap_or_default()
}
