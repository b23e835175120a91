//! What a change did, beside its outcome: the command's arguments, the turn, and what each bank
//! was charged and given. A history and a frame say the same.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::instant::Instant;
use crate::domain::id::{GroupId, ParticipantId};
use crate::domain::session::Session;
use crate::domain::session::bank::Bank;
use crate::domain::session::command::{Adjustment, Command, ParticipantChange, Target};
use crate::domain::session::lifecycle::DEFAULT_REASON;
use crate::domain::session::participant::Participant;
use crate::domain::time::Timestamp;

/// What a change did, beside its outcome.
#[derive(Debug, Default)]
pub struct Details<'a> {
    /// The command's arguments; `None` where it has none, or there was no command.
    pub arguments: Option<Arguments<'a>>,
    /// Which participants handed over the turn; `None` where it stayed.
    pub turn: Option<Turn<'a>>,
    /// Every bank that was charged or given time.
    pub banks: Vec<BankChange<'a>>,
}

impl<'a> Details<'a> {
    /// What `command` did between two versions.
    pub fn of(command: Option<&'a Command>, before: Option<&'a Session>, after: &'a Session) -> Self {
        let arguments = command.filter(|command| says_something(command)).map(Arguments);
        let Some(before) = before else { return Self { arguments, ..Self::default() } };
        Self { arguments, turn: Turn::between(before, after), banks: banks(before, after) }
    }
}

/// The turn went on.
#[derive(Debug, Serialize)]
pub struct Turn<'a> {
    from: Option<&'a ParticipantId>,
    to: Option<&'a ParticipantId>,
}

impl<'a> Turn<'a> {
    fn between(before: &'a Session, after: &'a Session) -> Option<Self> {
        let active = |session: &'a Session| session.active_participant().map(|active| &active.participant_id);
        let (from, to) = (active(before), active(after));
        (from != to).then_some(Self { from, to })
    }
}

/// What one bank was charged and given; the session's own where it names nobody.
#[derive(Debug, Serialize)]
pub struct BankChange<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_id: Option<&'a ParticipantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a GroupId>,
    /// Taken from what it held, in milliseconds; less than nothing where a charge was taken back.
    charged_ms: i64,
    /// Added to what it held, in milliseconds; less than nothing where time was taken.
    given_ms: i64,
}

impl BankChange<'_> {
    fn between(before: Option<&Bank>, after: &Bank) -> Option<Self> {
        let (used_ms, granted_ms) = before.map_or((0, 0), |before| (before.used_ms, before.granted_ms));
        let (charged_ms, given_ms) = (after.used_ms - used_ms, after.granted_ms - granted_ms);
        let is_change = charged_ms != 0 || given_ms != 0;
        is_change.then_some(Self { participant_id: None, group_id: None, charged_ms, given_ms })
    }
}

fn banks<'a>(before: &Session, after: &'a Session) -> Vec<BankChange<'a>> {
    let own = BankChange::between(Some(&before.clock), &after.clock);
    let participants = after.participants.iter().enumerate().filter_map(|(seat, now)| {
        let then = before.participants.get(seat).filter(|then| is_same(then, now));
        // Participants that a change is not about are shared between the two versions.
        if then.is_some_and(|then| std::sync::Arc::ptr_eq(then, now)) {
            return None;
        }
        let then = then.or_else(|| before.participants.iter().find(|then| is_same(then, now)));
        let change = BankChange::between(then.map(|then| &then.bank), &now.bank)?;
        Some(BankChange { participant_id: Some(&now.participant_id), ..change })
    });
    let groups = after.groups.iter().filter_map(|now| {
        let then = before.groups.iter().find(|then| then.group_id == now.group_id)?;
        Some(BankChange { group_id: Some(&now.group_id), ..BankChange::between(Some(&then.bank), &now.bank)? })
    });
    own.into_iter().chain(participants).chain(groups).collect()
}

fn is_same(then: &Participant, now: &Participant) -> bool {
    then.participant_id == now.participant_id && then.joined == now.joined
}

/// A command's arguments, as its body has them.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a>(&'a Command);

/// Whether a command has arguments.
fn says_something(command: &Command) -> bool {
    match command {
        Command::Cancel | Command::Reset | Command::Extend | Command::Delete | Command::Settle => false,
        Command::Switch(switch) => switch.acted_at.is_some(),
        Command::Start { at, participant } => at.is_some() || participant.is_some(),
        Command::Complete { target } => *target != Target::Session,
        Command::Resume { reason, target, .. } => reason.is_some() || *target != Target::Session,
        _ => true,
    }
}

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            Command::Start { at, participant } => {
                put(&mut map, "at", at.map(Instant))?;
                put(&mut map, "participant_id", participant.as_ref())?;
            }
            Command::Switch(switch) => put(&mut map, "client_time_ms", switch.acted_at.map(Timestamp::as_ms))?,
            Command::Pause { reason, target, .. } => {
                put(&mut map, "reason", Some(reason.as_deref().unwrap_or(DEFAULT_REASON)))?;
                put_target(&mut map, target)?;
            }
            Command::Resume { reason, target, .. } => {
                put(&mut map, "reason", reason.as_ref())?;
                put_target(&mut map, target)?;
            }
            Command::Complete { target } => put_target(&mut map, target)?,
            Command::Adjust { target, change } => {
                put_target(&mut map, target)?;
                match change {
                    Adjustment::Add(ms) => put(&mut map, "add_ms", Some(ms))?,
                    Adjustment::Set(ms) => put(&mut map, "set_ms", Some(ms))?,
                }
            }
            Command::Revert { then } => put(&mut map, "to_version", Some(then.position.version))?,
            Command::AddParticipant(new) => {
                put(&mut map, "participant_id", Some(&new.participant_id))?;
                put(&mut map, "total_time_ms", new.total_time_ms)?;
                put(&mut map, "group_id", new.group_id.as_ref())?;
                put(&mut map, "participant_index", new.participant_index)?;
                put(&mut map, "time_control", new.time_control.as_ref())?;
            }
            Command::ChangeParticipant { id, change } => {
                put(&mut map, "participant_id", Some(id))?;
                put_change(&mut map, change)?;
            }
            Command::RemoveParticipant { id } => put(&mut map, "participant_id", Some(id))?,
            Command::Cancel | Command::Reset | Command::Extend | Command::Delete | Command::Settle => {}
        }
        map.end()
    }
}

fn put<M: SerializeMap>(map: &mut M, name: &str, value: Option<impl Serialize>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
}

fn put_target<M: SerializeMap>(map: &mut M, target: &Target) -> Result<(), M::Error> {
    match target {
        Target::Session => Ok(()),
        Target::Participant(id) => map.serialize_entry("participant_id", id),
        Target::Group(id) => map.serialize_entry("group_id", id),
    }
}

/// Metadata may be long, and the version has it: here stands only that it changed.
fn put_change<M: SerializeMap>(map: &mut M, change: &ParticipantChange) -> Result<(), M::Error> {
    put(map, "total_time_ms", change.total_time_ms)?;
    put(map, "group_id", change.group_id.as_ref())?;
    put(map, "participant_index", change.participant_index)?;
    put(map, "time_control", change.time_control.as_ref())?;
    put(map, "changes_metadata", change.metadata.as_ref().map(|_| true))
}
