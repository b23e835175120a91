//! A reference model of the rules: a clock that ticks.
//!
//! It is slow and simple, has no anchors and no formulas, and counts granted and used time by
//! itself. The engine must agree with it at every instant.

use super::generator::Generator;
use crate::domain::session::bank::Phase;
use crate::domain::session::command::{Adjustment, Command, Next, Switch, Target};
use crate::domain::session::control::{Action, Delay, LagPolicy, Overtime, SyncMode, TimeControl};
use crate::domain::session::event::Step;
use crate::domain::session::{Owner, Session, Status};
use crate::domain::time::Timestamp;

/// The longest step: the model ticks through each millisecond of it.
const MAX_STEP_MS: i64 = 400;

#[derive(Clone)]
struct Clock {
    control: TimeControl,
    left: i64,
    granted: i64,
    used: i64,
    overrun: i64,
    delay_left: i64,
    free: bool,
    cycles: u32,
    phase: Phase,
    stage: usize,
    stage_cycles: u32,
    out: bool,
    counted: bool,
}

struct Ticking {
    clocks: Vec<Clock>,
    active: usize,
    status: Status,
    cycle_used: i64,
    increment: i64,
    cap: i64,
    action: Action,
}

impl Clock {
    fn give(&mut self, ms: i64) {
        self.left += ms;
        self.granted += ms;
    }

    /// An increment, stage or give-back.
    fn earn(&mut self, ms: i64, cap: i64) {
        for _ in 0..ms {
            if self.left < cap {
                self.give(1);
            }
        }
    }

    /// What holds in the present stage: of the entries passed, the last that says so.
    fn delay(&self) -> Option<Delay> {
        self.control.stages[..self.stage].iter().filter_map(|stage| stage.delay).next_back().or(self.control.delay)
    }

    fn increment(&self, base: i64) -> i64 {
        self.control.stages[..self.stage].iter().filter_map(|stage| stage.increment_ms).next_back().unwrap_or(base)
    }

    fn in_main(&self) -> bool {
        matches!(self.phase, Phase::Main { .. })
    }

    fn next_period(&mut self) -> bool {
        self.phase = match (self.control.overtime, self.phase) {
            (Some(Overtime::Byoyomi { .. }), Phase::Main { .. }) => Phase::Byoyomi { period: 1 },
            (Some(Overtime::Canadian { cycles, .. }), Phase::Main { .. }) => Phase::Canadian { cycles_left: cycles },
            (Some(Overtime::Byoyomi { periods, .. }), Phase::Byoyomi { period }) if period < periods => {
                Phase::Byoyomi { period: period + 1 }
            }
            _ => return false,
        };
        self.delay_left = 0;
        self.give(self.period());
        true
    }

    fn period(&self) -> i64 {
        self.control.overtime.map_or(0, Overtime::period_ms)
    }

    fn refill(&mut self) {
        while self.left < self.period() {
            self.give(1);
        }
    }
}

impl Ticking {
    fn of(session: &Session) -> Self {
        let rules = &session.rules;
        let clocks = session.participants.iter().map(|each| {
            let control = each.time_control.clone().unwrap_or_else(|| rules.time_control.clone());
            let base = each.bank.base_ms.expect("a bank of one's own");
            let mut clock = Clock {
                control,
                left: 0,
                granted: 0,
                used: 0,
                overrun: 0,
                delay_left: 0,
                free: false,
                cycles: 0,
                phase: Phase::Main { stage: 0 },
                stage: 0,
                stage_cycles: 0,
                out: false,
                counted: false,
            };
            clock.give(base);
            if base == 0 && !clock.next_period() {
                let back = if let Some(Delay::Bronstein { delay_ms }) = clock.control.delay { delay_ms } else { 0 };
                clock.earn(rules.increment_ms.max(back), rules.max_time_ms.unwrap_or(i64::MAX));
            }
            clock
        });
        Self {
            clocks: clocks.collect(),
            active: 0,
            status: Status::Pending,
            cycle_used: 0,
            increment: rules.increment_ms,
            cap: rules.max_time_ms.unwrap_or(i64::MAX),
            action: rules.action(),
        }
    }

    fn can_play(&self, seat: usize) -> bool {
        !self.clocks[seat].out || self.action == Action::Continue
    }

    fn next_seat(&self) -> Option<usize> {
        let seats = self.clocks.len();
        (1..=seats).map(|step| (self.active + step) % seats).find(|seat| self.can_play(*seat))
    }

    fn begin(&mut self, seat: usize) {
        self.active = seat;
        self.cycle_used = 0;
        let clock = &mut self.clocks[seat];
        clock.counted = false;
        clock.out = clock.out && clock.left == 0;
        clock.free = clock.cycles < clock.control.free_cycles;
        clock.delay_left = match clock.delay() {
            Some(Delay::Simple { delay_ms }) if clock.in_main() && !clock.free => delay_ms,
            _ => 0,
        };
        self.judge();
    }

    /// What happens the moment the running clock has nothing left.
    fn judge(&mut self) {
        while self.status == Status::Running {
            let clock = &mut self.clocks[self.active];
            if clock.free || clock.out || clock.left > 0 || clock.delay_left > 0 {
                return;
            }
            if clock.next_period() {
                continue;
            }
            clock.out = true;
            self.count();
            self.act();
        }
    }

    fn act(&mut self) {
        match self.action {
            Action::Continue => {}
            Action::Expire => self.status = Status::Expired,
            Action::Complete => self.status = Status::Completed,
            Action::Pause => self.status = Status::Paused,
            Action::Advance => match self.next_seat() {
                Some(seat) => self.begin(seat),
                None => self.status = Status::Expired,
            },
        }
    }

    fn count(&mut self) -> bool {
        let clock = &mut self.clocks[self.active];
        let counts = !clock.counted;
        if counts {
            clock.counted = true;
            clock.cycles += 1;
            clock.stage_cycles += 1;
        }
        counts
    }

    fn tick(&mut self) {
        if self.status != Status::Running {
            return;
        }
        let hourglass = self.clocks[0].control.hourglass;
        let clock = &mut self.clocks[self.active];
        if clock.free {
            return;
        }
        if clock.delay_left > 0 {
            clock.delay_left -= 1;
        } else if clock.out {
            clock.overrun += 1;
        } else {
            clock.left -= 1;
            clock.used += 1;
            self.cycle_used += 1;
            if hourglass {
                self.clocks[1 - self.active].give(1);
            }
        }
        self.judge();
    }

    fn switch(&mut self) {
        let Some(next) = self.next_seat().filter(|_| self.status == Status::Running) else { return };
        let (cycle_used, cap, base) = (self.cycle_used, self.cap, self.increment);
        let counts = self.count();
        let clock = &mut self.clocks[self.active];
        if counts && !clock.out {
            match clock.phase {
                Phase::Byoyomi { .. } => clock.refill(),
                Phase::Canadian { cycles_left } if cycles_left > 1 => {
                    clock.phase = Phase::Canadian { cycles_left: cycles_left - 1 };
                }
                Phase::Canadian { .. } => {
                    if let Some(Overtime::Canadian { cycles, .. }) = clock.control.overtime {
                        clock.phase = Phase::Canadian { cycles_left: cycles };
                    }
                    // What is unused is not carried.
                    let unused = clock.left;
                    clock.give(-unused);
                    clock.refill();
                }
                _ => Self::earn_in_main(clock, cycle_used, base, cap),
            }
        }
        clock.free = false;
        clock.delay_left = 0;
        self.begin(next);
    }

    fn earn_in_main(clock: &mut Clock, cycle_used: i64, base: i64, cap: i64) {
        if !clock.free {
            if let Some(Delay::Bronstein { delay_ms }) = clock.delay() {
                clock.earn(cycle_used.min(delay_ms), cap);
            }
            clock.earn(clock.increment(base), cap);
        }
        let entry = clock.control.stages.get(clock.stage).copied();
        if let Some(entry) = entry.filter(|entry| clock.stage_cycles >= entry.cycles) {
            clock.earn(entry.add_ms, cap);
            clock.stage += 1;
            clock.stage_cycles = 0;
            clock.phase = Phase::Main { stage: u32::try_from(clock.stage).unwrap() };
        }
    }

    fn adjust(&mut self, seat: usize, ms: i64) {
        let runs = self.status == Status::Running && self.active == seat;
        let clock = &mut self.clocks[seat];
        let to = (clock.left + ms).max(0);
        clock.give(to - clock.left);
        if clock.left > 0 {
            clock.out = false;
            return;
        }
        clock.delay_left = 0;
        clock.free = false;
        if runs {
            self.judge();
        } else if !clock.next_period() {
            clock.out = true;
        }
    }

    fn apply(&mut self, action: &Move) {
        match *action {
            Move::Start if self.status == Status::Pending => {
                self.active = self.clocks.len() - 1;
                if let Some(first) = self.next_seat() {
                    self.status = Status::Running;
                    self.begin(first);
                }
            }
            Move::Switch => self.switch(),
            Move::Pause if self.status == Status::Running => self.status = Status::Paused,
            Move::Resume if self.status == Status::Paused => {
                let clock = &self.clocks[self.active];
                let empty = clock.left == 0 && clock.delay_left == 0 && !clock.free;
                if !empty || (clock.out && self.action == Action::Continue) {
                    self.status = Status::Running;
                }
            }
            Move::Adjust(seat, ms) if !self.status.is_ended() => self.adjust(seat, ms),
            _ => {}
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Start,
    Switch,
    Pause,
    Resume,
    Adjust(usize, i64),
    Nothing,
}

impl Move {
    fn of(random: &mut Generator, seats: usize) -> Self {
        match random.below(16) {
            0 => Self::Pause,
            1..4 => Self::Resume,
            4 => Self::Adjust(
                usize::try_from(random.below(seats as u64)).unwrap(),
                random.pick(&[-100_000, -50, -1, 1, 10, 50, 500]),
            ),
            5 | 6 => Self::Nothing,
            7 => Self::Start,
            _ => Self::Switch,
        }
    }

    fn command(self, session: &Session) -> Command {
        match self {
            Self::Start => Command::Start { at: None, participant: None },
            Self::Switch => Command::Switch(Switch { next: Next::InTurn, ..Switch::default() }),
            Self::Pause => Command::Pause { reason: None, target: Target::Session, by_participant: false },
            Self::Resume => Command::Resume { reason: None, target: Target::Session, by_participant: false },
            Self::Adjust(seat, ms) => Command::Adjust {
                target: Target::Participant(session.participants[seat].participant_id.clone()),
                change: Adjustment::Add(ms),
            },
            Self::Nothing => Command::Settle,
        }
    }
}

/// Executes a command as an instance does: what is due is written first.
fn execute(mut session: Session, command: &Command, now: Timestamp) -> Session {
    loop {
        match session.next(command, now) {
            Step::Refused(_) => return session,
            Step::Done(change) => return change.session,
            Step::Due(change, refused) => {
                session = change.session;
                if refused.is_some() {
                    return session;
                }
            }
        }
    }
}

fn agree(session: &Session, ticking: &Ticking, now: Timestamp) {
    assert_eq!(session.status, ticking.status, "status at {now:?}");
    if !matches!(session.status, Status::Pending) {
        assert_eq!(session.active, Some(ticking.active), "whose turn at {now:?}");
    }
    for (clock, seat) in ticking.clocks.iter().zip(0..) {
        let owner = Owner::Participant(seat);
        let bank = session.bank(owner);
        let remaining = session.remaining(owner, now).expect("a bank of one's own");
        let ran = bank.anchor.map_or(0, |anchor| now.since(anchor));
        let past_zero = if bank.expired_at.is_some() && !bank.is_free { (ran - bank.delay_left_ms).max(0) } else { 0 };
        assert_eq!(remaining, clock.left, "left of {seat} at {now:?}");
        assert_eq!(bank.phase, clock.phase, "phase of {seat} at {now:?}");
        assert_eq!(bank.expired_at.is_some(), clock.out, "{seat} is out at {now:?}");
        assert_eq!(bank.overrun_ms + past_zero, clock.overrun, "overrun of {seat} at {now:?}");
        assert_eq!(bank.cycle_count, clock.cycles, "cycles of {seat} at {now:?}");
        assert_eq!(clock.granted, clock.used + clock.left, "the second account itself");
        if !clock.control.hourglass {
            assert_eq!(bank.granted_ms, clock.granted, "granted to {seat} at {now:?}");
            assert_eq!(bank.used_ms + bank.left_ms.unwrap_or(0) - remaining, clock.used, "used by {seat} at {now:?}");
        }
    }
}

fn is_comparable(session: &Session) -> bool {
    session.sync_mode == SyncMode::PerParticipant
        && !session.is_simultaneous()
        && session.rules.lag_policy == LagPolicy::None
}

/// Runs one session in both models.
pub fn compare(seed: u64) -> u64 {
    let mut random = Generator(seed);
    let mut now = Timestamp::from_ms(0);
    let mut session = random.session(now);
    if !is_comparable(&session) {
        return 1;
    }
    let mut ticking = Ticking::of(&session);
    agree(&session, &ticking, now);
    let steps = 40;
    for step in 0..steps {
        let action = if step == 0 { Move::Start } else { Move::of(&mut random, ticking.clocks.len()) };
        session = execute(session.clone(), &action.command(&session), now);
        ticking.apply(&action);
        agree(&session, &ticking, now);
        let until = random.instant(&session, now).max(now).min(now + MAX_STEP_MS);
        while now < until {
            now = now + 1;
            ticking.tick();
        }
        if session.is_due(now) {
            session = session.settled(now).session;
        }
        agree(&session, &ticking, now);
    }
    steps
}
