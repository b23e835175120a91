//! Validates a session to be created: bounds, and which control goes with which mode.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Session;
use super::command::Refused;
use super::control::{Action, Concurrency, Delay, LagPolicy, MAX_PARTICIPANTS, Overtime, Rules, SyncMode, TimeControl};
use super::new::{NewParticipant, NewSession};
use crate::domain::time::MAX_SPAN_MS;

const MAX_WARNINGS: usize = 16;
const MAX_STAGES: usize = 16;
const MAX_PERIODS: u32 = 1_000;
/// Turns never advance by themselves faster than this.
const MIN_ADVANCE_MS: i64 = 100;

/// What is wrong with a session to be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer} {detail}")]
pub struct ValidationError {
    /// JSON pointer to the part.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: &'static str,
    /// Each part is fine alone, but together they have no meaning.
    pub is_contradiction: bool,
}

type Checked = Result<(), ValidationError>;

fn contradiction(pointer: impl Into<String>, detail: &'static str) -> Checked {
    Err(ValidationError { pointer: pointer.into(), detail, is_contradiction: true })
}

fn invalid(pointer: impl Into<String>, detail: &'static str) -> Checked {
    Err(ValidationError { pointer: pointer.into(), detail, is_contradiction: false })
}

/// Refuses with `detail` what must not be.
fn forbid(wrong: bool, pointer: &str, detail: &'static str) -> Checked {
    if wrong { contradiction(pointer, detail) } else { Ok(()) }
}

fn span(pointer: &str, ms: Option<i64>) -> Checked {
    match ms {
        Some(ms) if !(0..=MAX_SPAN_MS).contains(&ms) => {
            invalid(pointer, "must be from 0 to 3162240000000 milliseconds (a hundred years)")
        }
        _ => Ok(()),
    }
}

/// The most metadata of a session or participant, as JSON.
const MAX_METADATA_BYTES: usize = 8 * 1024;

pub(super) fn check_metadata(pointer: &str, metadata: &Map<String, Value>) -> Checked {
    let fits = metadata.is_empty() || serde_json::to_vec(metadata).is_ok_and(|text| text.len() <= MAX_METADATA_BYTES);
    if fits { Ok(()) } else { invalid(pointer, "must be at most 8192 bytes as JSON") }
}

pub(super) fn check(new: &NewSession) -> Checked {
    let rules = &new.rules;
    check_metadata("/metadata", &new.metadata)?;
    check_spans(rules)?;
    check_names(new)?;
    check_control("/time_control", &rules.time_control)?;
    check_mode(new)?;
    check_combination(new.sync_mode, rules, &rules.time_control)?;
    check_hourglass(new)?;
    check_timeout(new.sync_mode, rules)?;
    check_participants(new)?;
    new.groups.iter().zip(0..).try_for_each(|(each, at)| {
        let pointer = format!("/groups/{at}/total_time_ms");
        span(&pointer, each.total_time_ms)?;
        check_bank(&pointer, each.total_time_ms.or(rules.total_time_ms), &rules.time_control, rules)
    })
}

fn check_participants(new: &NewSession) -> Checked {
    let groups: HashSet<_> = new.groups.iter().map(|group| &group.group_id).collect();
    new.participants.iter().zip(0..).try_for_each(|(each, at)| {
        let context = Context {
            mode: new.sync_mode,
            rules: &new.rules,
            pointer: format!("/participants/{at}"),
            is_group_known: each.group_id.as_ref().is_some_and(|id| groups.contains(id)),
        };
        check_participant(each, &context)
    })
}

fn check_spans(rules: &Rules) -> Checked {
    span("/total_time_ms", rules.total_time_ms)?;
    span("/time_per_cycle_ms", rules.time_per_cycle_ms)?;
    span("/increment_ms", Some(rules.increment_ms))?;
    span("/max_time_ms", rules.max_time_ms)?;
    forbid(rules.max_time_ms == Some(0), "/max_time_ms", "must be 1 or more; without a limit, leave it out")?;
    if rules.warnings_ms.len() > MAX_WARNINGS || rules.warnings_ms.iter().any(|ms| *ms <= 0) {
        return invalid("/warnings_ms", "must be at most 16 spans, each of 1 or more milliseconds");
    }
    let Some(soft) = rules.soft_close else {
        return Ok(());
    };
    span("/soft_close/window_ms", Some(soft.window_ms))?;
    span("/soft_close/extension_ms", Some(soft.extension_ms))?;
    span("/soft_close/max_total_ms", soft.max_total_ms)?;
    forbid(
        soft.window_ms == 0 || soft.extension_ms == 0,
        "/soft_close",
        "must have a window_ms and an extension_ms of 1 or more",
    )
}

fn check_names(new: &NewSession) -> Checked {
    if new.participants.len() > MAX_PARTICIPANTS {
        return invalid("/participants", "must be at most 1024");
    }
    if new.groups.len() > MAX_PARTICIPANTS {
        return invalid("/groups", "must be at most 1024");
    }
    let mut seen = HashSet::new();
    if !new.participants.iter().all(|each| seen.insert(&each.participant_id)) {
        return invalid("/participants", "must each have a participant_id that no other has");
    }
    let mut seen = HashSet::new();
    if !new.participants.iter().filter_map(|each| each.participant_index).all(|index| seen.insert(index)) {
        return invalid("/participants", "must each have a participant_index that no other has, or none");
    }
    let mut seen = HashSet::new();
    if !new.groups.iter().all(|each| seen.insert(&each.group_id)) {
        return invalid("/groups", "must each have a group_id that no other has");
    }
    Ok(())
}

fn check_control(pointer: &str, control: &TimeControl) -> Checked {
    let at = |part: &str| format!("{pointer}/{part}");
    check_delay(&at("delay"), control.delay)?;
    check_overtime(&at("overtime"), control.overtime)?;
    if control.stages.len() > MAX_STAGES {
        return invalid(at("stages"), "must be at most 16");
    }
    for stage in &control.stages {
        span(&at("stages"), Some(stage.add_ms))?;
        span(&at("stages"), stage.increment_ms)?;
        check_delay(&at("stages"), stage.delay)?;
        let changes_nothing = stage.add_ms == 0 && stage.increment_ms.is_none() && stage.delay.is_none();
        forbid(
            stage.cycles == 0 || changes_nothing,
            &at("stages"),
            "must each have cycles of 1 or more, and an add_ms above 0, an increment_ms or a delay",
        )?;
    }
    let delays = control.delay.is_some() || control.stages.iter().any(|stage| stage.delay.is_some());
    forbid(
        delays && control.overtime.is_some(),
        &at("delay"),
        "does not go with overtime; leave one of the two out, also in stages",
    )
}

fn check_delay(pointer: &str, delay: Option<Delay>) -> Checked {
    let ms = delay.map(Delay::ms);
    span(pointer, ms)?;
    forbid(ms == Some(0), pointer, "must have a delay_ms of 1 or more; without a delay, leave it out")
}

fn check_overtime(pointer: &str, overtime: Option<Overtime>) -> Checked {
    let Some(overtime) = overtime else {
        return Ok(());
    };
    span(pointer, Some(overtime.period_ms()))?;
    let count = match overtime {
        Overtime::Byoyomi { periods, .. } => periods,
        Overtime::Canadian { cycles, .. } => cycles,
    };
    if count > MAX_PERIODS {
        return invalid(pointer, "must have 1 to 1000 periods (byoyomi) or cycles (canadian)");
    }
    forbid(
        count == 0 || overtime.period_ms() == 0,
        pointer,
        "must have a period_ms of 1 or more, and 1 to 1000 periods (byoyomi) or cycles (canadian)",
    )
}

fn check_mode(new: &NewSession) -> Checked {
    let mode = new.sync_mode;
    let simultaneous = new.rules.concurrency == Concurrency::Simultaneous;
    let own_banks = matches!(mode, SyncMode::PerParticipant | SyncMode::PerGroup);
    let shared = "can be simultaneous only where sync_mode is per_participant or per_group; else it is exclusive";
    forbid(simultaneous && !own_banks, "/concurrency", shared)?;
    let (grouped, has_groups) = (mode == SyncMode::PerGroup, !new.groups.is_empty());
    forbid(grouped && !has_groups, "/groups", "must list one or more groups where sync_mode is per_group")?;
    forbid(!grouped && has_groups, "/groups", "goes only with sync_mode per_group; leave it out, or set that")?;
    check_mode_times(mode, &new.rules)?;
    let needs_seats = needs_participants(mode, new.rules.concurrency);
    let needed =
        "must list one or more participants where sync_mode is per_participant, per_cycle or exclusive per_group";
    forbid(needs_seats && new.participants.is_empty(), "/participants", needed)
}

/// The times of the session itself.
fn check_mode_times(mode: SyncMode, rules: &Rules) -> Checked {
    let (per_cycle, is_per_cycle) = (rules.time_per_cycle_ms, mode == SyncMode::PerCycle);
    let needed = "must be 1 or more where sync_mode is per_cycle: it is what each cycle counts down";
    forbid(is_per_cycle && per_cycle.unwrap_or(0) == 0, "/time_per_cycle_ms", needed)?;
    let foreign = "goes only with sync_mode per_cycle; leave it out, or set that";
    forbid(!is_per_cycle && per_cycle.is_some(), "/time_per_cycle_ms", foreign)?;
    let total = rules.total_time_ms;
    let needed = "must be 1 or more where sync_mode is global: it is what the session counts down";
    forbid(mode == SyncMode::Global && total.unwrap_or(0) == 0, "/total_time_ms", needed)?;
    let foreign = "does not go with sync_mode count_up, which begins at 0; leave it out, or end it by max_time_ms";
    forbid(mode == SyncMode::CountUp && total.is_some(), "/total_time_ms", foreign)
}

/// Whether a mode means nothing without somebody who takes part.
pub(super) const fn needs_participants(mode: SyncMode, concurrency: Concurrency) -> bool {
    match mode {
        SyncMode::PerParticipant | SyncMode::PerCycle => true,
        SyncMode::PerGroup => matches!(concurrency, Concurrency::Exclusive),
        SyncMode::Global | SyncMode::CountUp => false,
    }
}

/// Which control goes with which mode.
fn check_combination(mode: SyncMode, rules: &Rules, control: &TimeControl) -> Checked {
    let exclusive = rules.concurrency == Concurrency::Exclusive;
    let banks = exclusive && matches!(mode, SyncMode::PerParticipant | SyncMode::PerGroup) && !control.hourglass;
    let capped = rules.max_time_ms.is_some() && mode != SyncMode::CountUp;
    let own_bank = "goes only with sync_mode per_participant or per_group, concurrency exclusive and no hourglass; leave it out, or set these";
    forbid(!banks && rules.increment_ms > 0, "/increment_ms", own_bank)?;
    forbid(!banks && capped, "/max_time_ms", own_bank)?;
    forbid(!banks && control.free_cycles > 0, "/time_control/free_cycles", own_bank)?;
    forbid(!banks && !control.stages.is_empty(), "/time_control/stages", own_bank)?;
    forbid(!banks && control.overtime.is_some(), "/time_control/overtime", own_bank)?;
    forbid(!banks && control.delay.is_some(), "/time_control/delay", own_bank)?;
    let closes = matches!(mode, SyncMode::Global | SyncMode::PerCycle);
    forbid(
        !closes && rules.soft_close.is_some(),
        "/soft_close",
        "goes only with sync_mode global or per_cycle; leave it out, or set one of these",
    )?;
    let takes_turns = exclusive && !matches!(mode, SyncMode::Global | SyncMode::CountUp) && !control.hourglass;
    let credits_lag = rules.lag_policy != LagPolicy::None;
    let turns = "must be none, unless sync_mode is per_participant, per_cycle or per_group, concurrency exclusive, and there is no hourglass";
    forbid(credits_lag && !takes_turns, "/lag_policy", turns)
}

fn check_hourglass(new: &NewSession) -> Checked {
    if !new.rules.time_control.hourglass {
        return Ok(());
    }
    let fits = new.sync_mode == SyncMode::PerParticipant
        && new.rules.concurrency == Concurrency::Exclusive
        && new.participants.len() == 2;
    forbid(
        !fits,
        "/time_control/hourglass",
        "goes only with sync_mode per_participant, concurrency exclusive and two participants",
    )
}

fn check_timeout(mode: SyncMode, rules: &Rules) -> Checked {
    let exclusive = rules.concurrency == Concurrency::Exclusive;
    let has_next = exclusive && !matches!(mode, SyncMode::Global | SyncMode::CountUp);
    let advances = rules.action() == Action::Advance;
    let pointer = if rules.auto_advance { "/auto_advance" } else { "/action_on_timeout" };
    let turns =
        "advances turns, which only sync_mode per_participant, per_cycle and per_group with concurrency exclusive have";
    forbid(advances && !has_next, pointer, turns)?;
    let both = rules.auto_advance && !matches!(rules.action_on_timeout, Action::Expire | Action::Advance);
    forbid(
        both,
        "/auto_advance",
        "is the same as action_on_timeout advance and contradicts another; leave one of the two out",
    )?;
    let too_fast = advances && rules.time_per_cycle_ms.is_some_and(|ms| ms < MIN_ADVANCE_MS);
    forbid(too_fast, "/time_per_cycle_ms", "must be at least 100 where turns advance by themselves")
}

/// The session that a participant has to fit.
struct Context<'a> {
    mode: SyncMode,
    rules: &'a Rules,
    /// JSON pointer to the participant.
    pointer: String,
    /// Whether its group exists.
    is_group_known: bool,
}

fn check_participant(each: &NewParticipant, context: &Context<'_>) -> Checked {
    let Context { mode, rules, .. } = *context;
    let pointer = |part: &str| format!("{}/{part}", context.pointer);
    let has_bank = matches!(mode, SyncMode::PerParticipant | SyncMode::PerCycle);
    check_metadata(&pointer("metadata"), &each.metadata)?;
    span(&pointer("total_time_ms"), each.total_time_ms)?;
    forbid(
        !has_bank && each.total_time_ms.is_some(),
        &pointer("total_time_ms"),
        "goes only with sync_mode per_participant or per_cycle; leave it out",
    )?;
    let named = each.group_id.is_some();
    let grouped = mode == SyncMode::PerGroup;
    let known = named && context.is_group_known;
    forbid(
        grouped && !known,
        &pointer("group_id"),
        "must be the group_id of one of groups where sync_mode is per_group",
    )?;
    forbid(!grouped && named, &pointer("group_id"), "goes only with sync_mode per_group; leave it out, or set that")?;
    if let Some(control) = &each.time_control {
        check_own_control(&pointer("time_control"), mode, rules, control)?;
    }
    let control = each.time_control.as_ref().unwrap_or(&rules.time_control);
    let bank = each.total_time_ms.or(rules.total_time_ms);
    match mode {
        SyncMode::PerParticipant => check_bank(&pointer("total_time_ms"), bank, control, rules),
        SyncMode::PerCycle => check_reserve(&pointer("total_time_ms"), bank, rules),
        _ => Ok(()),
    }
}

fn check_own_control(pointer: &str, mode: SyncMode, rules: &Rules, control: &TimeControl) -> Checked {
    let own = mode == SyncMode::PerParticipant;
    forbid(
        !own || control.hourglass || rules.time_control.hourglass,
        pointer,
        "goes only with sync_mode per_participant and no hourglass; leave it out",
    )?;
    check_control(pointer, control)?;
    check_combination(mode, rules, control)
}

fn check_bank(pointer: &str, bank: Option<i64>, control: &TimeControl, rules: &Rules) -> Checked {
    let Some(bank) = bank else {
        return contradiction(pointer, "is needed, here or as total_time_ms of the session: the time on the clock");
    };
    let cap = rules.max_time_ms.unwrap_or(i64::MAX);
    forbid(bank > cap, pointer, "must be at most max_time_ms")?;
    let playable = control.increment_in(0, rules.increment_ms) > 0
        || control.delay.is_some()
        || control.overtime.is_some()
        || control.free_cycles > 0;
    forbid(
        bank == 0 && !playable,
        pointer,
        "must be 1 or more, unless an increment_ms, a delay, overtime or free_cycles makes 0 playable",
    )
}

fn check_reserve(pointer: &str, bank: Option<i64>, rules: &Rules) -> Checked {
    let reserve = bank.is_some_and(|bank| bank > 0);
    let alone = rules.soft_close.is_none() && rules.lag_policy == LagPolicy::None;
    forbid(reserve && !alone, pointer, "must be 0 or absent beside soft_close or a lag_policy; above 0 it is a reserve")
}

/// Whether a participant fits a session that is there already.
pub(super) fn check_newcomer(session: &Session, new: &NewParticipant) -> Result<(), Refused> {
    if new.group_id.as_ref().is_some_and(|id| session.place(id).is_none()) {
        return Err(Refused::UnknownGroup);
    }
    match newcomer_error(session, new) {
        None => Ok(()),
        Some(error) if error.is_contradiction => Err(Refused::InvalidTimeControl),
        Some(_) => Err(Refused::OutOfBounds),
    }
}

/// What is wrong with a participant for a session that is there already.
pub(super) fn newcomer_error(session: &Session, new: &NewParticipant) -> Option<ValidationError> {
    let context = Context {
        mode: session.sync_mode,
        rules: &session.rules,
        pointer: String::new(),
        is_group_known: new.group_id.is_some(),
    };
    check_participant(new, &context).err()
}
