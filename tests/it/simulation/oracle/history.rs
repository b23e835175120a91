//! The record of a schedule as clients would have written it, for the checker that judges
//! the real service by the same laws.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use synckairos::domain::entry::Entry;
use synckairos::domain::position::Position;
use synckairos::domain::session::restore::Outage;
use synckairos::domain::session::{Session, Status};
use synckairos::domain::time::Timestamp;
use synckairos::ledger::Row;
use synckairos::wire::error_code::Code;
use synckairos::wire::frame;

use super::lines::Line;
use super::{Case, Complaint};
use crate::harness::checker;
use crate::harness::checker::{Law, Rules, Violation};
use crate::harness::history::{Answer, Call, End, Final, FrameRecord, History, Invocation, ShownSession};
use crate::simulation::clock::Truth;
use crate::simulation::plan::{Kind, StepKind};
use crate::simulation::record;
use crate::simulation::record::{Event, Reply, Try};

/// No clock is off by more, and no answer is longer on its way than it waits for.
const TOLERANCE_US: i64 = 25_000;

/// Once all is calm nobody is later.
const EXPIRY_PATIENCE_MS: i64 = 2_000;

const DELETION: &str = "\"command\":\"delete\"";

impl Case<'_> {
    /// Whether the checker finds nothing either.
    pub fn history(&self, line: &Line<'_>) -> Result<(), Complaint> {
        // A session of which nothing is left anywhere has no line to be judged by.
        if line.entries.is_empty() {
            return Ok(());
        }
        let loses = |kind: &Kind| matches!(kind, Kind::StoreGoesBack(_) | Kind::StoreForgets);
        let rules = Rules {
            may_lose: self.outcome.plan.faults.iter().any(|fault| loses(&fault.kind)),
            clock_tolerance_us: TOLERANCE_US,
            expiry_patience_ms: EXPIRY_PATIENCE_MS,
        };
        let mut verdict = checker::judge(&self.written(line), &rules);
        // A deletion is no command to the checker, so that nobody seems to have asked for it.
        let is_deletion = |violation: &Violation| violation.trace.iter().any(|event| event.contains(DELETION));
        verdict.violations.retain(|violation| violation.law != Law::Phantom || !is_deletion(violation));
        if verdict.violations.is_empty() {
            return Ok(());
        }
        self.complain(format!("the checker says: {verdict}"))
    }

    fn written(&self, line: &Line<'_>) -> History {
        let mut shown = BTreeMap::new();
        let shown = &mut |session: &Session| -> Option<ShownSession> {
            shown.entry(session.position).or_insert_with(|| show(session)).clone()
        };
        let tries = self.events.iter().filter_map(|(at, event)| match event {
            Event::Tried(tried) => Some(self.call(tried, *at, shown)),
            _ => None,
        });
        let calls = tries.collect();
        let (seen, ends) = self.seen(shown);
        let last = self.outcome.finals.get(&self.key);
        let finals = last.and_then(|held| {
            let snapshot: Value = serde_json::from_slice(&frame::snapshot(&held.session, self.outcome.ended)).ok()?;
            Final::of(self.key.session.as_str(), &snapshot, us(self.outcome.ended))
        });
        let absences: Vec<Outage> = self.outcome.absences.clone();
        let (finals, rows) = (finals.into_iter().collect(), self.ledger_rows(line));
        History { calls, seen, ends, finals, rows, absences, began_us: Some(Truth::BEGAN_US) }
    }

    /// But for what a worker had in its hands while the store forgot it, and recorded when
    /// the session had been taken back as it was before: the next version supersedes that,
    /// and there may be none yet.
    fn ledger_rows(&self, line: &Line<'_>) -> Vec<Row> {
        let newest = line.entries.last().map(|entry| entry.link.position);
        let is_late = |entry: &Entry| line.is_superseded(entry) && Some(entry.link.position) > newest;
        let entries = self.outcome.ledger.get(&self.key).into_iter().flatten().filter(|entry| !is_late(entry));
        let row = |entry: &Arc<Entry>| Row {
            key: entry.key.clone(),
            link: entry.link,
            body: entry.body.clone(),
            change: entry.change.clone(),
            superseded: line.is_superseded(entry),
        };
        entries.map(row).collect()
    }

    fn call(&self, tried: &Try, at: Timestamp, shown: &mut impl FnMut(&Session) -> Option<ShownSession>) -> Call {
        let (command, body) = asked(tried);
        let key = tried.has_key.then(|| tried.subject.to_string());
        let answer = answered(tried, shown);
        Call {
            client: tried.subject.to_string(),
            instance: tried.instance,
            session: self.key.session.to_string(),
            asked: Invocation { command, body, key, expected: None },
            invoked_us: us(tried.began),
            returned_us: if answer == Answer::Unknown { i64::MAX } else { us(at) },
            answer,
        }
    }

    /// What watchers saw, but for those who began anew after all was lost.
    fn seen(&self, shown: &mut impl FnMut(&Session) -> Option<ShownSession>) -> (Vec<FrameRecord>, Vec<End>) {
        let (mut seen, mut lasts) = (Vec::new(), BTreeMap::<usize, Position>::new());
        for (at, event) in &self.events {
            let Event::Observation { watcher, seen: what, .. } = event else { continue };
            let (client, session) = (format!("w{watcher}"), self.key.session.as_str());
            let (kind, position, content) = match what {
                record::Observation::Connected(last) => ("OPENED", *last, None),
                record::Observation::State(position, _) => {
                    let state = self.timeline.states.get(position);
                    ("STATE_SYNC", Some(*position), state.and_then(|state| shown(state)).map(|shown| shown.content))
                }
                record::Observation::Write(position, _) => ("STATE_UPDATE", Some(*position), None),
                record::Observation::Deleted(position) if lasts.get(watcher) != Some(position) => {
                    ("SESSION_DELETED", Some(*position), None)
                }
                record::Observation::Missing if lasts.contains_key(watcher) => return (Vec::new(), Vec::new()),
                record::Observation::Deleted(_) | record::Observation::Missing | record::Observation::Cut => continue,
            };
            if let Some(position) = position {
                lasts.insert(*watcher, position);
            }
            let frame = json!({"type": kind, "partial": true});
            let told = FrameRecord::of(&client, "simulated", 0, session, &frame);
            seen.push(FrameRecord { position, content, at_us: us(*at), ..told });
        }
        // Who was told of an end waits for nothing, also if the store has lost it.
        lasts.retain(|_, last| self.timeline.states.get(last).is_none_or(|state| state.status != Status::Deleted));
        let session = self.key.session.to_string();
        let end = |(watcher, position)| End {
            client: format!("w{watcher}"),
            session: session.clone(),
            position: Some(position),
        };
        (seen, lasts.into_iter().map(end).collect())
    }
}

/// Microseconds since it began.
fn us(at: Timestamp) -> i64 {
    Truth::told(at) * 1_000
}

fn show(session: &Session) -> Option<ShownSession> {
    let snapshot = frame::snapshot(session, session.updated_at);
    ShownSession::of(&serde_json::from_slice(&snapshot).ok()?)
}

fn asked(tried: &Try) -> (String, Map<String, Value>) {
    let (command, body) = match &tried.what {
        StepKind::Create => ("create", json!({})),
        StepKind::Delete => ("delete", json!({})),
        StepKind::Look => ("look", json!({})),
        StepKind::Command(name, body) => (*name, body.clone()),
    };
    let mut body = body.as_object().cloned().unwrap_or_default();
    if let Some(version) = tried.expected {
        body.insert("expected_version".to_owned(), json!(version));
    }
    (command.to_owned(), body)
}

fn answered(tried: &Try, shown: &mut impl FnMut(&Session) -> Option<ShownSession>) -> Answer {
    let shown = tried.shown.as_ref().and_then(|session| shown(session));
    let refused = |code: Code, shown| Answer::Refused { code: code.as_str().to_owned(), shown };
    match &tried.said {
        Reply::Done { at, replayed } => {
            Answer::Applied { made: replayed.unwrap_or(*at), shown, is_replay: replayed.is_some() }
        }
        Reply::Stands(_) => shown.map_or(Answer::Unknown, Answer::Looked),
        Reply::Refused(why, _) => refused((*why).into(), shown),
        Reply::Stale(_) => refused(Code::StaleVersion, shown),
        Reply::Exists(_) => refused(Code::SessionExists, shown),
        Reply::Missing => refused(Code::SessionNotFound, None),
        Reply::Away(what) => Answer::Unavailable((*what).to_owned()),
        // A deletion does not say which version it made.
        Reply::Gone | Reply::Unknown | Reply::Odd(_) => Answer::Unknown,
    }
}
