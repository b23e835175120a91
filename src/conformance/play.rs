//! Plays a vector: makes its session, goes through its steps, compares.

use serde_json::{Map, Value, json};

use super::compare::{Difference, differences};
use super::vector::{Vector, VectorStep};
use crate::domain::id::SessionId;
use crate::domain::session::command::Command;
use crate::domain::session::event::{Change, Outcome};
use crate::domain::session::restore::Outage;
use crate::domain::session::{self, Owner, Session};
use crate::domain::time::Timestamp;
use crate::wire::command::{self, CommandInput, ParseError};
use crate::wire::create::CreateBody;
use crate::wire::error_code::Code;
use crate::wire::snapshot::Snapshot;

/// A difference and the step it showed in; 0 is the creation.
type FirstDifference = (usize, Difference);

/// Every difference from what `vector` says.
pub(super) fn play(vector: &Vector) -> Vec<FirstDifference> {
    if vector.source.trim().is_empty() {
        return vec![(0, Difference::new("source", "words", "\"\""))];
    }
    let created = create(&vector.create);
    match (&vector.create_refused, created) {
        (None, Ok(session)) if vector.steps.is_empty() => {
            drop(session);
            vec![(0, Difference::new("steps", "at least one", "nothing"))]
        }
        (None, Ok(session)) => Played { versions: vec![session] }.through(&vector.steps),
        (Some(code), Err(actual)) if code == actual.as_str() => Vec::new(),
        (code, created) => {
            let expected = code.clone().unwrap_or_else(|| "a session".to_owned());
            let actual = created.map_or_else(Code::as_str, |_| "a session");
            vec![(0, Difference::new("create_refused", expected, actual))]
        }
    }
}

fn create(body: &Map<String, Value>) -> Result<Session, Code> {
    let body: CreateBody = command::parsed(body.clone()).map_err(|_| Code::Invalid)?;
    let id = body.session_id.clone().or_else(|| SessionId::new("vector").ok()).ok_or(Code::Invalid)?;
    let new = body.into_new(id).ok_or(Code::Invalid)?;
    let change = Session::create(new, Timestamp::from_ms(0));
    change
        .map(|change| change.session)
        .map_err(|error| if error.is_contradiction { Code::InvalidTimeControl } else { Code::Invalid })
}

/// A session as it goes through the steps, with every version.
struct Played {
    versions: Vec<Session>,
}

/// The result of a step.
struct StepResult {
    outcome: Option<Outcome>,
    refused: Option<Code>,
}

impl Played {
    fn through(mut self, steps: &[VectorStep]) -> Vec<FirstDifference> {
        let mut found = Vec::new();
        let mut before = 0;
        for (step, place) in steps.iter().zip(1..) {
            if step.at_ms < before {
                found.push((place, Difference::new("at_ms", format!("{before} or later"), step.at_ms.to_string())));
            }
            before = step.at_ms;
            found.extend(self.step(step).into_iter().map(|difference| (place, difference)));
        }
        found
    }

    fn step(&mut self, step: &VectorStep) -> Vec<Difference> {
        let now = Timestamp::from_ms(step.at_ms);
        let mut answer = StepResult { outcome: None, refused: None };
        if let Some(name) = &step.command {
            answer = self.answer(name, step, now);
        }
        if self.newest().is_due(now) {
            let change = self.newest().settled(now);
            answer.outcome = answer.outcome.or(Some(self.push(change)));
        }
        differences("", &Value::Object(expected(step)), &self.shown(&answer, now))
    }

    fn newest(&self) -> &Session {
        // There is a first version from the creation on, and none is taken away.
        &self.versions[self.versions.len() - 1]
    }

    fn push(&mut self, change: Change) -> Outcome {
        self.versions.push(change.session);
        change.outcome
    }

    fn answer(&mut self, name: &str, step: &VectorStep, now: Timestamp) -> StepResult {
        match self.execute(name, step, now) {
            Ok(outcome) => StepResult { outcome, refused: None },
            Err(refused) => StepResult { outcome: None, refused: Some(refused) },
        }
    }

    fn execute(&mut self, name: &str, step: &VectorStep, now: Timestamp) -> Result<Option<Outcome>, Code> {
        match name {
            "delete" => self.command(&Command::Delete, now).map(Some),
            "restore" => self.restore(&step.body, now).map(|()| None),
            _ => {
                let command = self.read(name, step)?;
                self.command(&command, now).map(Some)
            }
        }
    }

    fn read(&self, name: &str, step: &VectorStep) -> Result<Command, Code> {
        let (input, expected_version) =
            command::read(name, step.body.clone()).map_err(|unreadable| match unreadable {
                ParseError::UnknownCommand => Code::NotFound,
                ParseError::Invalid { .. } => Code::Invalid,
            })?;
        if expected_version.is_some_and(|version| version != self.newest().position.version) {
            return Err(Code::StaleVersion);
        }
        match input {
            CommandInput::Command(Command::Switch(mut switch)) => {
                switch.connection_lag_ms = step.lag_ms;
                Ok(Command::Switch(switch))
            }
            CommandInput::Command(command) => Ok(command),
            CommandInput::Revert { to_version } => self.revert(to_version),
        }
    }

    fn revert(&self, to_version: u64) -> Result<Command, Code> {
        let is_that = |session: &&Session| session.position.version == to_version;
        let then = self.versions.iter().find(is_that).ok_or(Code::Invalid)?;
        Ok(Command::Revert { then: Box::new(then.clone()) })
    }

    fn command(&mut self, command: &Command, now: Timestamp) -> Result<Outcome, Code> {
        loop {
            match self.newest().next(command, now) {
                session::event::Step::Refused(refused) => return Err(refused.into()),
                session::event::Step::Done(change) => return Ok(self.push(*change)),
                session::event::Step::Due(change, refused) => {
                    self.push(*change);
                    if let Some(refused) = refused {
                        return Err(refused.into());
                    }
                }
            }
        }
    }

    /// The store lost the session; `alive_at_ms` was the last heartbeat.
    fn restore(&mut self, body: &Map<String, Value>, now: Timestamp) -> Result<(), Code> {
        let alive = body.get("alive_at_ms").and_then(Value::as_i64).ok_or(Code::Invalid)?;
        let restored = self.newest().restored(Some(Outage { from: Timestamp::from_ms(alive), until: now }), now);
        self.versions.push(restored);
        Ok(())
    }

    /// The snapshot in the form of the vectors.
    fn shown(&self, answer: &StepResult, now: Timestamp) -> Value {
        let session = self.newest();
        let mut shown = json!(Snapshot::of(session, now));
        key(&mut shown, "participants", "participant_id");
        key(&mut shown, "groups", "group_id");
        shown["remaining_ms"] = remaining(session, now);
        if let Some(outcome) = &answer.outcome {
            shown["outcome"] = json!(outcome);
        }
        shown["refused"] = json!(answer.refused.map(Code::as_str));
        shown
    }
}

/// A step that expects no refusal must not be refused.
fn expected(step: &VectorStep) -> Map<String, Value> {
    let mut expected = step.expect.clone();
    expected.entry("refused").or_insert(Value::Null);
    expected
}

/// A list becomes an object by the name of each.
fn key(shown: &mut Value, list: &str, by: &str) {
    let Value::Array(items) = shown[list].take() else { return };
    let named = items.into_iter().map(|item| (item[by].as_str().unwrap_or_default().to_owned(), item));
    shown[list] = Value::Object(named.collect());
}

fn remaining(session: &Session, now: Timestamp) -> Value {
    let mut shown = Map::new();
    let mut show = |name: &str, owner| {
        if let Some(ms) = session.remaining(owner, now) {
            shown.insert(name.to_owned(), ms.into());
        }
    };
    show("session", Owner::Session);
    for (participant, seat) in session.participants.iter().zip(0..) {
        show(participant.participant_id.as_str(), Owner::Participant(seat));
    }
    for (group, place) in session.groups.iter().zip(0..) {
        show(group.group_id.as_str(), Owner::Group(place));
    }
    Value::Object(shown)
}
