//! Random sessions and random commands, the same for the same seed.

use crate::domain::id::{GroupId, ParticipantId, SessionId};
use crate::domain::session::Session;
use crate::domain::session::command::{Adjustment, Command, Next, ParticipantChange, Switch, Target};
use crate::domain::session::control::{
    Action, Concurrency, Delay, LagPolicy, OnOutage, Overtime, Rules, SoftClose, Stage, SyncMode, TimeControl,
};
use crate::domain::session::new::{NewGroup, NewParticipant, NewSession};
use crate::domain::time::Timestamp;

/// `SplitMix64`: small, fast, and good enough for tests.
pub struct Generator(pub u64);

const SPANS: [i64; 16] = [0, 1, 2, 3, 5, 10, 50, 99, 100, 250, 1_000, 5_000, 20_000, 60_000, 600_000, i64::MAX];
const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

impl Generator {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap();
        from[at].clone()
    }

    fn maybe<T>(&mut self, times: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.once_in(times).then(|| make(self))
    }

    pub fn span(&mut self) -> i64 {
        // The last of them is for the odd command, not for every bank.
        let count = if self.once_in(64) { SPANS.len() } else { SPANS.len() - 1 };
        self.pick(&SPANS[..count])
    }

    fn playable(&mut self) -> i64 {
        self.pick(&[0, 1, 2, 10, 100, 250, 1_000, 5_000, 60_000])
    }

    pub fn participant(&mut self) -> ParticipantId {
        ParticipantId::new(self.pick(&IDS)).unwrap()
    }

    fn group(&mut self) -> GroupId {
        GroupId::new(self.pick(&["red", "blue", "green"])).unwrap()
    }

    /// A session that makes sense, of any mode and control.
    pub fn session(&mut self, now: Timestamp) -> Session {
        loop {
            if let Ok(change) = Session::create(self.new_session(), now) {
                return change.session;
            }
        }
    }

    fn new_session(&mut self) -> NewSession {
        use SyncMode::{CountUp, Global, PerCycle, PerGroup, PerParticipant};
        let sync_mode =
            self.pick(&[PerParticipant, PerParticipant, PerParticipant, PerGroup, PerCycle, Global, CountUp]);
        let own_banks = matches!(sync_mode, PerParticipant | PerGroup);
        let simultaneous = own_banks && self.once_in(4);
        let rules = self.rules(sync_mode, own_banks && !simultaneous);
        let concurrency = if simultaneous { Concurrency::Simultaneous } else { Concurrency::Exclusive };
        let groups = if sync_mode == PerGroup { 1 + self.below(3) } else { 0 };
        let groups: Vec<_> = ["red", "blue", "green"][..usize::try_from(groups).unwrap()]
            .iter()
            .map(|id| NewGroup { group_id: GroupId::new(id).unwrap(), total_time_ms: Some(self.playable()) })
            .collect();
        let seats = if rules.time_control.hourglass { 2 } else { self.below(5) };
        let participants = IDS[..usize::try_from(seats).unwrap()]
            .iter()
            .map(|id| NewParticipant {
                group_id: (sync_mode == PerGroup).then(|| self.pick(&groups).group_id),
                ..self.newcomer(ParticipantId::new(id).unwrap(), own_banks && sync_mode == PerParticipant)
            })
            .collect();
        NewSession {
            session_id: SessionId::new("random").unwrap(),
            sync_mode,
            participants,
            groups,
            rules: Rules { concurrency, ..rules },
            metadata: serde_json::Map::default(),
        }
    }

    fn newcomer(&mut self, participant_id: ParticipantId, own_bank: bool) -> NewParticipant {
        NewParticipant {
            participant_id,
            total_time_ms: if own_bank { self.maybe(2, Self::playable) } else { None },
            group_id: None,
            participant_index: None,
            time_control: if own_bank { self.maybe(16, |random| random.control(true)) } else { None },
            metadata: serde_json::Map::default(),
        }
    }

    fn rules(&mut self, mode: SyncMode, takes_controls: bool) -> Rules {
        use SyncMode::{CountUp, Global, PerCycle};
        let closes = matches!(mode, Global | PerCycle);
        let capped = takes_controls || mode == CountUp;
        let turns = takes_controls || mode == PerCycle;
        let advances = turns && self.once_in(3);
        let time_control = self.control(takes_controls);
        let plain = time_control.hourglass;
        Rules {
            concurrency: Concurrency::Exclusive,
            total_time_ms: (mode != CountUp && (mode != PerCycle || self.once_in(2))).then(|| self.playable()),
            time_per_cycle_ms: (mode == PerCycle).then(|| self.playable()),
            increment_ms: if takes_controls && !plain && self.once_in(2) { self.playable() } else { 0 },
            max_time_ms: if capped && !plain { self.maybe(3, Self::playable) } else { None },
            time_control,
            soft_close: if closes { self.maybe(2, Self::soft_close) } else { None },
            rights: super::super::control::Rights::default(),
            lag_policy: self.lag_policy(turns && !plain),
            on_outage: self.pick(&[OnOutage::Pause, OnOutage::Charge]),
            auto_advance: advances && self.once_in(2),
            action_on_timeout: self.action(advances),
            warnings_ms: if self.once_in(2) { vec![1, 100, 1_000] } else { Vec::new() },
        }
    }

    fn lag_policy(&mut self, may: bool) -> LagPolicy {
        let policies = [LagPolicy::None, LagPolicy::Strict, LagPolicy::Standard, LagPolicy::Friendly];
        if may { self.pick(&policies) } else { LagPolicy::None }
    }

    fn action(&mut self, advances: bool) -> Action {
        if advances {
            return Action::Advance;
        }
        self.pick(&[Action::Expire, Action::Pause, Action::Complete, Action::Continue])
    }

    fn soft_close(&mut self) -> SoftClose {
        SoftClose {
            window_ms: self.playable(),
            extension_ms: self.playable(),
            max_total_ms: self.maybe(2, Self::playable),
        }
    }

    fn control(&mut self, takes_controls: bool) -> TimeControl {
        if !takes_controls {
            return TimeControl::default();
        }
        if self.once_in(8) {
            return TimeControl { hourglass: true, ..TimeControl::default() };
        }
        let overtime = self.maybe(3, Self::overtime);
        let delay = if overtime.is_none() { self.maybe(2, Self::delay) } else { None };
        let stages = self.below(4).saturating_sub(1);
        TimeControl {
            stages: (0..stages).map(|_| self.stage(overtime.is_none())).collect(),
            overtime,
            delay,
            hourglass: false,
            free_cycles: self.maybe(6, |_| 2).unwrap_or(0),
        }
    }

    fn delay(&mut self) -> Delay {
        let delay_ms = self.pick(&[1, 2, 10, 100, 1_000]);
        if self.once_in(2) { Delay::Simple { delay_ms } } else { Delay::Bronstein { delay_ms } }
    }

    fn stage(&mut self, may_delay: bool) -> Stage {
        Stage {
            cycles: self.pick(&[1, 2, 3]),
            add_ms: self.pick(&[1, 10, 1_000]),
            increment_ms: self.maybe(2, Self::playable),
            delay: if may_delay { self.maybe(4, Self::delay) } else { None },
        }
    }

    fn overtime(&mut self) -> Overtime {
        let period_ms = self.pick(&[1, 2, 10, 100, 1_000]);
        let count = self.pick(&[1, 2, 3]);
        if self.once_in(2) {
            Overtime::Byoyomi { periods: count, period_ms }
        } else {
            Overtime::Canadian { cycles: count, period_ms }
        }
    }

    /// An instant to ask at: often just where something happens, or beside it.
    pub fn instant(&mut self, session: &Session, now: Timestamp) -> Timestamp {
        let edges = [session.deadline(), session.due_at, session.starts_at];
        let at = match self.below(16) {
            0..4 => now,
            4..8 => self.pick(&edges).unwrap_or(now) + self.pick(&[-1, 0, 0, 1]),
            8 => self.edge(session).unwrap_or(now),
            9 => now - self.span(),
            _ => now + self.pick(&[1, 2, 5, 10, 50, 100, 1_000, 5_000]),
        };
        if self.once_in(512) { now + self.span() } else { at }
    }

    fn edge(&mut self, session: &Session) -> Option<Timestamp> {
        let edges = session.edges();
        if edges.is_empty() { None } else { Some(self.pick(&edges).at) }
    }

    /// Any command, valid or not; mostly those that let play go on.
    pub fn command(&mut self, now: Timestamp, past: &[Session]) -> Command {
        match self.below(64) {
            0..30 => Command::Switch(self.switch(now)),
            30..38 => Command::Start {
                at: self.maybe(4, |random| now + random.span()),
                participant: self.maybe(4, Self::participant),
            },
            38..43 => Command::Pause { reason: self.reason(), target: self.target(), by_participant: false },
            43..50 => Command::Resume { reason: self.reason(), target: self.target(), by_participant: false },
            50..54 => Command::Adjust { target: self.target(), change: self.adjustment() },
            54 => Command::Extend,
            55 => Command::Settle,
            56 => Command::Reset,
            57 => Command::Revert { then: Box::new(self.pick(past)) },
            58 => self.newcomer_command(),
            59 => Command::ChangeParticipant { id: self.participant(), change: Box::new(self.change()) },
            60 => Command::RemoveParticipant { id: self.participant() },
            61 => Command::Complete { target: self.target() },
            _ if self.once_in(4) => self.pick(&[Command::Cancel, Command::Delete]),
            _ => Command::Extend,
        }
    }

    fn newcomer_command(&mut self) -> Command {
        let id = self.participant();
        let group_id = self.maybe(2, Self::group);
        let index = self.maybe(3, |random| u32::try_from(random.below(4)).unwrap());
        let own_bank = self.once_in(2);
        let new = self.newcomer(id, own_bank);
        Command::AddParticipant(Box::new(NewParticipant { group_id, participant_index: index, ..new }))
    }

    fn change(&mut self) -> ParticipantChange {
        ParticipantChange {
            total_time_ms: self.maybe(4, Self::span),
            group_id: self.maybe(4, Self::group),
            participant_index: self.maybe(2, |random| u32::try_from(random.below(6)).unwrap()),
            time_control: self.maybe(4, |random| random.control(true)),
            metadata: None,
        }
    }

    fn switch(&mut self, now: Timestamp) -> Switch {
        Switch {
            current: self.maybe(4, Self::participant),
            next: match self.below(8) {
                0 => Next::Participant(self.participant()),
                1 => Next::Group(self.group()),
                _ => Next::InTurn,
            },
            acted_at: self.maybe(3, |random| now - random.span() + random.pick(&[0, 0, 1, 100])),
            connection_lag_ms: self.span(),
        }
    }

    fn reason(&mut self) -> Option<String> {
        self.maybe(2, |random| random.pick(&["fire", "appeal"]).to_owned())
    }

    fn target(&mut self) -> Target {
        match self.below(4) {
            0 => Target::Participant(self.participant()),
            1 => Target::Group(self.group()),
            _ => Target::Session,
        }
    }

    fn adjustment(&mut self) -> Adjustment {
        match self.below(4) {
            0 => Adjustment::Set(self.span()),
            1 => Adjustment::Add(-self.span()),
            _ => Adjustment::Add(self.span()),
        }
    }
}
