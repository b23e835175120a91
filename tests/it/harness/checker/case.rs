//! One session's part of a history, in order, with what was known of it when.

use synckairos::domain::position::Position;
use synckairos::domain::session::Session;
use synckairos::ledger::Row;

use super::{Rules, Verdict};
use crate::harness::history::{Answer, Call, End, Final, FrameRecord, History};

/// One session's part of a history.
pub(super) struct Case<'a> {
    pub history: &'a History,
    pub rules: &'a Rules,
    pub session: &'a str,
    /// By when they were asked.
    pub calls: Vec<&'a Call>,
    pub seen: Vec<&'a FrameRecord>,
    pub ends: Vec<&'a End>,
    pub last: Option<&'a Final>,
    /// The line that leads to the newest version, oldest first.
    pub line: Vec<Step<'a>>,
    /// What is not on it.
    pub aside: Vec<&'a Row>,
    /// By when they were known.
    pub known: Vec<Known>,
}

/// One version on the line.
pub(super) struct Step<'a> {
    pub row: &'a Row,
    /// Nothing where its body was shed, or cannot be read.
    pub state: Option<Session>,
    /// What made it.
    pub command: String,
    /// The clocks that ran out in it: whose, and when.
    pub expired: Vec<(String, i64)>,
}

/// That a position had come about by then.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub at_us: i64,
    pub position: Position,
    /// What tells.
    pub by: String,
}

impl<'a> Case<'a> {
    pub fn of(history: &'a History, session: &'a str, rules: &'a Rules, verdict: &mut Verdict) -> Self {
        let mut calls: Vec<_> = history.calls.iter().filter(|call| call.session == session).collect();
        calls.sort_by_key(|call| call.invoked_us);
        let mut seen: Vec<_> = history.seen.iter().filter(|seen| seen.session == session).collect();
        seen.sort_by_key(|seen| seen.at_us);
        let mut rows: Vec<_> = history.rows.iter().filter(|row| row.key.session.as_str() == session).collect();
        rows.sort_by_key(|row| row.link.position);
        let (line, aside) = parted(&rows);
        let last = history.finals.iter().find(|last| last.session == session);
        let (line, aside) = gone_on(line, aside, last.filter(|_| rules.may_lose));
        let line: Vec<_> = line.into_iter().map(Step::of).collect();
        let known = known(&calls, &seen);
        let ends = history.ends.iter().filter(|end| end.session == session).collect();
        let case = Self { history, rules, session, calls, seen, ends, last, line, aside, known };
        case.count(verdict);
        case
    }

    fn count(&self, verdict: &mut Verdict) {
        let figures = &mut verdict.figures;
        for call in &self.calls {
            match call.answer {
                Answer::Applied { .. } => figures.applied += 1,
                Answer::Refused { .. } => figures.refused += 1,
                Answer::Unavailable(_) => figures.unavailable += 1,
                Answer::Unknown => figures.unknown += 1,
                Answer::Looked(_) => {}
            }
        }
        figures.calls += self.calls.len();
        figures.frames += self.seen.iter().filter(|seen| seen.kind != "OPENED").count();
        figures.versions += self.line.len();
        figures.expiries += self.line.iter().map(|step| step.expired.len()).sum::<usize>();
        let epochs = self.line.windows(2).filter(|pair| pair[0].position().epoch != pair[1].position().epoch);
        figures.epochs += epochs.count() + usize::from(!self.line.is_empty());
    }

    /// The step at exactly that position.
    pub fn step(&self, position: Position) -> Option<usize> {
        self.line.binary_search_by_key(&position, Step::position).ok()
    }

    /// The step that a position stands for: itself, or what a restoring took up.
    pub fn step_behind(&self, position: Position) -> Option<usize> {
        let at = self.line.iter().position(|step| step.position().version == position.version)?;
        let is_before_next = self.line.get(at + 1).is_none_or(|next| position < next.position());
        (self.line[at].position() <= position && is_before_next).then_some(at)
    }

    /// What first told that the step had come about: it, or one after it.
    pub fn first_known(&self, step: usize) -> Option<&Known> {
        let from = self.line[step].position();
        self.known.iter().find(|known| known.position >= from && self.step_behind(known.position).is_some())
    }

    /// Who asked for changes and was told that one was made.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&'a Call, Position)> {
        self.calls.iter().filter_map(|call| match call.answer {
            Answer::Applied { made, .. } => Some((*call, made)),
            _ => None,
        })
    }
}

impl<'a> Step<'a> {
    fn of(row: &'a Row) -> Self {
        let change: serde_json::Value = serde_json::from_slice(&row.change).unwrap_or_default();
        let expired = change["expired"].as_array().into_iter().flatten().filter_map(|expired| {
            let at = synckairos::wire::instant::parse(expired["at"].as_str()?)?;
            let who = expired["participant_id"].as_str().or(expired["group_id"].as_str());
            Some((who.unwrap_or("the session").to_owned(), at.as_ms()))
        });
        Self {
            row,
            state: row.body.as_deref().and_then(|body| Session::from_stored(body).ok()),
            command: change["command"].as_str().unwrap_or_default().to_owned(),
            expired: expired.collect(),
        }
    }

    pub fn position(&self) -> Position {
        self.row.link.position
    }

    pub fn told(&self) -> String {
        told(self.row)
    }
}

/// A row of the ledger in a line.
pub(super) fn told(row: &Row) -> String {
    let change = String::from_utf8_lossy(&row.change);
    format!("ledger: {} at {} ms: {change}", row.link.position, row.link.at.as_ms())
}

/// From the newest back to the first, by what each names as its predecessor.
fn parted<'a>(rows: &[&'a Row]) -> (Vec<&'a Row>, Vec<&'a Row>) {
    let mut line: Vec<&Row> = rows.last().copied().into_iter().collect();
    while let Some(previous) = line.last().and_then(|row| {
        let earlier = rows.iter().filter(|each| each.link.position < row.link.position);
        earlier.rev().find(|each| each.link.digest() == row.link.previous)
    }) {
        line.push(previous);
    }
    line.reverse();
    let is_aside = |row: &&&Row| !line.iter().any(|each| std::ptr::eq(*each, **row));
    let aside = rows.iter().filter(is_aside).copied().collect();
    (line, aside)
}

/// A store that was lost may have gone on from before versions that were on their way to
/// the ledger then: they are not on the line, though nothing superseded them yet.
fn gone_on<'a>(mut line: Vec<&'a Row>, mut aside: Vec<&'a Row>, last: Option<&Final>) -> (Vec<&'a Row>, Vec<&'a Row>) {
    let Some(Position { epoch, version }) = last.map(|last| last.shown.position) else { return (line, aside) };
    let is_left = |row: &&Row| row.link.position.epoch < epoch && row.link.position.version > version;
    while let Some(row) = line.pop_if(|row| is_left(&&**row)) {
        aside.push(row);
    }
    (line, aside)
}

fn known(calls: &[&Call], seen: &[&FrameRecord]) -> Vec<Known> {
    let of_calls = calls.iter().flat_map(|call| {
        let shown = call.answer.shown().map(|shown| shown.position);
        let made = if let Answer::Applied { made, .. } = call.answer { Some(made) } else { None };
        let both = [shown, made].into_iter().flatten();
        both.map(|position| Known { at_us: call.returned_us, position, by: call.told() })
    });
    let told = seen.iter().filter(|seen| seen.kind != "OPENED");
    let of_frames =
        told.filter_map(|seen| Some(Known { at_us: seen.at_us, position: seen.position?, by: seen.told() }));
    let mut known: Vec<_> = of_calls.chain(of_frames).collect();
    known.sort_by_key(|known| known.at_us);
    known
}

impl Call {
    /// In a line.
    pub(super) fn told(&self) -> String {
        let Self { client, instance, asked, .. } = self;
        let key = asked.key.as_ref().map(|key| format!(" key {key}")).unwrap_or_default();
        let on = asked.expected.map(|expected| format!(" on {expected}")).unwrap_or_default();
        let body = serde_json::Value::Object(asked.body.clone());
        let answer = match &self.answer {
            Answer::Applied { made, is_replay: false, .. } => format!("made {made}"),
            Answer::Applied { made, is_replay: true, .. } => format!("had made {made}"),
            Answer::Looked(shown) => format!("shows {}", shown.position),
            Answer::Refused { code, shown: None } => format!("refused with {code}"),
            Answer::Refused { code, shown: Some(shown) } => format!("refused with {code} at {}", shown.position),
            Answer::Unavailable(code) => format!("not done, {code}"),
            Answer::Unknown => "unknown".to_owned(),
        };
        let returned = if self.returned_us == i64::MAX { "...".to_owned() } else { seconds(self.returned_us) };
        let asked = format!("{} {body}{key}{on}", asked.command);
        format!("{} to {returned}: {client} at instance {instance}: {asked}: {answer}", seconds(self.invoked_us))
    }
}

impl FrameRecord {
    /// In a line.
    pub(super) fn told(&self) -> String {
        let Self { client, transport, instance, kind, at_us, .. } = self;
        let position = self.position.map(|position| position.to_string()).unwrap_or_default();
        format!("{}: {client} by {transport} of instance {instance} sees {kind} {position}", seconds(*at_us))
    }
}

fn seconds(us: i64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}
