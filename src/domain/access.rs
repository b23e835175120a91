//! Who may do what: every right, in one table.
//!
//! Each role has the rights of those before it. What a participant may do depends on the
//! session as well: on its seat, and on the rights that the session gives its participants.

use super::id::{ParticipantId, SessionId};
use super::principal::{Principal, Role};
use super::session::command::{Command, Target};
use super::session::{Owner, Session};

/// What a caller asks for. Reading and following a session needs no right but to see it.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// A command to a session.
    Command(&'a Command),
    /// A revert whose version is not looked up yet.
    Revert,
    /// To create or clone a session, or to have a token issued.
    Operate,
    /// To follow the status of the instance.
    FollowStatus,
    /// To read what belonged to an earlier session of the same id, which was deleted.
    ReadPredecessor,
    /// To administer the tenant: its settings, revocations and security events.
    Administer,
}

impl Access<'_> {
    /// The least role that has the right.
    const fn least_role(self) -> Role {
        match self {
            Self::Command(Command::Settle) => Role::Viewer,
            Self::Command(
                Command::Switch(_) | Command::Pause { .. } | Command::Resume { .. } | Command::Complete { .. },
            ) => Role::Participant,
            Self::Command(
                Command::Start { .. }
                | Command::Cancel
                | Command::Reset
                | Command::Adjust { .. }
                | Command::Extend
                | Command::Revert { .. }
                | Command::AddParticipant(_)
                | Command::ChangeParticipant { .. }
                | Command::RemoveParticipant { .. }
                | Command::Delete,
            )
            | Self::Revert
            | Self::Operate
            | Self::FollowStatus
            | Self::ReadPredecessor => Role::Operator,
            Self::Administer => Role::Admin,
        }
    }
}

/// What one command asks of its caller, by its name over REST, in a batch and on a socket.
#[derive(Debug)]
pub struct CommandRight {
    /// Its name.
    pub name: &'static str,
    /// The least role that may send it.
    pub least_role: Role,
    /// The fields that a participant may name in it; an operator may name all that it has.
    pub participant_fields: &'static [&'static str],
}

/// Every command. Whoever may send one may still not send it to every session:
/// [`Principal::may_command`] asks the session as well.
pub const COMMANDS: &[CommandRight] = &[
    CommandRight::of_operators("start"),
    CommandRight::of_participants(
        "switch",
        &["current_participant_id", "next_participant_id", "next_group_id", "client_time_ms"],
    ),
    CommandRight::of_participants("pause", &["reason", "participant_id", "group_id"]),
    CommandRight::of_participants("resume", &["reason", "participant_id", "group_id"]),
    CommandRight::of_participants("complete", &["participant_id", "group_id"]),
    CommandRight::of_operators("cancel"),
    CommandRight::of_operators("reset"),
    CommandRight::of_operators("adjust"),
    CommandRight::of_operators("extend"),
    CommandRight::of_operators("revert"),
    CommandRight::of_operators("add_participant"),
    CommandRight::of_operators("change_participant"),
    CommandRight::of_operators("remove_participant"),
    CommandRight::of_operators("clone"),
    CommandRight::of_operators("delete"),
];

/// Fields that go with every command, whoever sends it.
const COMMON_FIELDS: &[&str] = &["expected_version", "idempotency_key"];

impl CommandRight {
    const fn of_operators(name: &'static str) -> Self {
        Self { name, least_role: Role::Operator, participant_fields: &[] }
    }

    const fn of_participants(name: &'static str, participant_fields: &'static [&'static str]) -> Self {
        Self { name, least_role: Role::Participant, participant_fields }
    }

    /// The right of the command called `name`; there may be no such command.
    pub fn named(name: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|right| right.name == name)
    }

    /// The first of `fields` that a caller of that role may not name.
    pub fn closed_field<'a>(&self, role: Role, mut fields: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let is_open = |field: &str| COMMON_FIELDS.contains(&field) || self.participant_fields.contains(&field);
        if role >= Role::Operator { None } else { fields.find(|field| !is_open(field)) }
    }
}

/// The role of a token that an operator has issued: it is for one participant, or for a viewer.
pub const fn issued_role(participant: Option<&ParticipantId>) -> Role {
    match participant {
        Some(_) => Role::Participant,
        None => Role::Viewer,
    }
}

impl Principal {
    /// Whether it may see `session`. What it may not see does not exist for it.
    pub fn sees(&self, session: &SessionId) -> bool {
        self.sessions.as_ref().is_none_or(|allowed| allowed.contains(session))
    }

    /// Whether its role has the right at all. This is asked before anything is read, so that
    /// neither a refusal nor the repeat of another role's request shows what only that role may see.
    pub fn may(&self, access: Access<'_>) -> bool {
        self.role >= access.least_role()
    }

    /// Whether it may administer its tenant: a token for some sessions is for those alone.
    pub fn may_administer(&self) -> bool {
        self.may(Access::Administer) && self.sessions.is_none()
    }

    /// Whether it may do this to a session in that state.
    pub fn may_command(&self, command: &Command, session: &Session) -> bool {
        match Access::Command(command).least_role() {
            least if self.role < least => false,
            Role::Participant if self.role == Role::Participant => self
                .participant_id
                .as_ref()
                .is_some_and(|own| self.has_seat_of(own, session) && is_its_own(command, own, session)),
            _ => true,
        }
    }

    /// Whether its token is for the present holder of its participant's id. A token that names
    /// no seat is for the holder of the id when it was made, to the second that `iat` gives.
    fn has_seat_of(&self, own: &ParticipantId, session: &Session) -> bool {
        let Some(seat) = session.seat(own) else { return true };
        let joined = session.participants[seat].joined;
        match (self.provenance.seat, joined, self.provenance.issued_at) {
            (Some(version), joined, _) => version == joined.map_or(0, |joined| joined.version),
            (None, Some(joined), Some(issued_at)) => issued_at.as_ms() >= joined.at.as_ms() / 1_000 * 1_000,
            _ => true,
        }
    }
}

/// A participant switches while it is active, and has its own clock where all run at once.
fn is_its_own(command: &Command, own: &ParticipantId, session: &Session) -> bool {
    match command {
        Command::Switch(switch) => {
            let is_active = session.active_participant().is_some_and(|active| active.participant_id == *own);
            let names_itself = switch.current.as_ref().is_none_or(|current| current == own);
            is_active && names_itself && session.lets_hand_on(&switch.next)
        }
        Command::Pause { target, .. } => session.rules.rights.self_pause && is_own_clock(target, own, session),
        Command::Resume { target, reason, .. } => {
            let may_pause = session.rules.rights.self_pause && is_own_clock(target, own, session);
            may_pause && may_lift(reason.as_deref(), own, session)
        }
        Command::Complete { target } => session.rules.rights.self_complete && is_own_clock(target, own, session),
        _ => false,
    }
}

/// A participant has a clock for itself only where all run at once.
fn is_own_clock(target: &Target, own: &ParticipantId, session: &Session) -> bool {
    session.is_simultaneous() && *target == Target::Participant(own.clone())
}

/// A participant takes back the reasons it gave. One that does not stand is for the rules to refuse.
fn may_lift(reason: Option<&str>, own: &ParticipantId, session: &Session) -> bool {
    let Some(seat) = session.seat(own) else { return true };
    let bank = session.bank(Owner::Participant(seat));
    match reason {
        Some(reason) => !bank.reasons.contains(reason) || bank.own_reasons.contains(reason),
        None => bank.reasons.is_empty() || !bank.own_reasons.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_participant_names_only_the_fields_of_its_commands() {
        let right = CommandRight::named("switch").unwrap();
        let open = ["current_participant_id", "expected_version", "idempotency_key"];
        assert_eq!(right.closed_field(Role::Participant, open.into_iter()), None);
        let closed = ["next_group_id", "time_per_cycle_ms"];
        assert_eq!(right.closed_field(Role::Participant, closed.into_iter()), Some("time_per_cycle_ms"));
        assert_eq!(right.closed_field(Role::Operator, closed.into_iter()), None);
        assert!(CommandRight::named("settle").is_none(), "nobody sends what happens by itself");
    }

    #[test]
    fn the_table_agrees_with_the_rules() {
        let commands = [
            Command::Start { at: None, participant: None },
            Command::Pause { reason: None, target: Target::Session, by_participant: false },
            Command::Resume { reason: None, target: Target::Session, by_participant: false },
            Command::Complete { target: Target::Session },
            Command::Cancel,
            Command::Reset,
            Command::Extend,
            Command::Delete,
        ];
        for command in commands {
            let right = CommandRight::named(command.name()).unwrap();
            assert_eq!(right.least_role, Access::Command(&command).least_role(), "{}", right.name);
        }
        for (name, access) in [("revert", Access::Revert), ("clone", Access::Operate)] {
            assert_eq!(CommandRight::named(name).unwrap().least_role, access.least_role(), "{name}");
        }
    }
}
