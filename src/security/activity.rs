//! What principals and addresses usually do, and who leaves its own usual range.
//!
//! Of each, the activity of the last minute is compared with its running mean. Whoever exceeds
//! a floor and a multiple of its own mean is anomalous, until it is within the range again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use parking_lot::Mutex;

use super::address::group;
use crate::domain::id::TenantId;
use crate::domain::principal::Principal;

/// The most principals and addresses that are watched. More are not, until some are idle.
pub(super) const MAX_ACTORS: usize = 50_000;

/// Windows of a minute.
const WINDOWS: usize = 6;

/// The mean forgets half of what it was within about this number of windows.
const MEAN_WINDOWS: f32 = 60.0;

/// Whoever did nothing for this number of windows is forgotten: ten minutes.
const IDLE_WINDOWS: u32 = 60;

/// The maps, each with its lock, so that commands of many callers hardly wait for each other.
const SHARDS: usize = 16;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActivityKind {
    /// What was refused for lack of rights or by a limit.
    Refusals,
    /// Signed requests that came before.
    Replays,
    /// Tokens that prove nobody.
    WrongTokens,
    /// Commands.
    Commands,
}

impl ActivityKind {
    pub const ALL: [Self; 4] = [Self::Refusals, Self::Replays, Self::WrongTokens, Self::Commands];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refusals => "refusals",
            Self::Replays => "replays",
            Self::WrongTokens => "wrong_tokens",
            Self::Commands => "commands",
        }
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Actor {
    Principal { tenant: TenantId, subject: String },
    Address(IpAddr),
}

/// What is usual: the most per minute is the greater of floor and factor times the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct UsualRange {
    pub floor: f32,
    pub factor: f32,
}

/// An actor that has left its usual range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Anomaly {
    pub actor: Actor,
    pub kind: ActivityKind,
    pub per_minute: u32,
    pub usual: f32,
}

/// The counts of all actors.
pub(super) struct Activity {
    keys: RandomState,
    shards: [Mutex<HashMap<u64, ActorCounts>>; SHARDS],
}

struct ActorCounts {
    actor: Actor,
    kinds: [Counts; ActivityKind::ALL.len()],
    idle: u32,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    /// Of the present window, and those before it.
    windows: [u32; WINDOWS],
    /// The mean of the counts of a minute.
    mean: f32,
    is_anomalous: bool,
}

impl Default for Activity {
    fn default() -> Self {
        Self { keys: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Activity {
    /// Counts what a principal does. One that is known costs a hash and a lock of its shard.
    pub fn count_principal(&self, kind: ActivityKind, tenant: &TenantId, subject: &str) {
        let actor = || Actor::Principal { tenant: tenant.clone(), subject: subject.to_owned() };
        self.count(kind, self.keys.hash_one((tenant.as_str(), subject)), actor);
    }

    /// The same of a proven caller.
    pub fn count_caller(&self, kind: ActivityKind, principal: &Principal) {
        self.count_principal(kind, &principal.tenant, &principal.subject);
    }

    /// Counts what comes from an address.
    pub fn count_address(&self, kind: ActivityKind, address: IpAddr) {
        let address = group(address);
        self.count(kind, self.keys.hash_one(address), || Actor::Address(address));
    }

    fn count(&self, kind: ActivityKind, key: u64, actor: impl FnOnce() -> Actor) {
        let shard = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        let mut actors = self.shards[shard].lock();
        let is_full = actors.len() >= MAX_ACTORS / SHARDS;
        let counts = match actors.entry(key) {
            Entry::Occupied(counts) => counts.into_mut(),
            Entry::Vacant(_) if is_full => return,
            Entry::Vacant(vacant) => vacant.insert(ActorCounts { actor: actor(), kinds: Default::default(), idle: 0 }),
        };
        let window = &mut counts.kinds[kind as usize].windows[0];
        *window = window.saturating_add(1);
    }

    /// How many are watched.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Ends a window: who has left its usual range in it. `range` gives that of an actor.
    pub fn end_window(&self, range: impl Fn(&Actor, ActivityKind) -> Option<UsualRange>) -> Vec<Anomaly> {
        let mut anomalies = Vec::new();
        for shard in &self.shards {
            let mut actors = shard.lock();
            for counts in actors.values_mut() {
                counts.end_window(&range, &mut anomalies);
            }
            actors.retain(|_, counts| counts.idle < IDLE_WINDOWS);
        }
        anomalies
    }
}

impl ActorCounts {
    fn end_window(&mut self, range: impl Fn(&Actor, ActivityKind) -> Option<UsualRange>, anomalies: &mut Vec<Anomaly>) {
        let is_idle = self.kinds.iter().all(|counts| counts.windows[0] == 0);
        self.idle = if is_idle { self.idle + 1 } else { 0 };
        for kind in ActivityKind::ALL {
            let counts = &mut self.kinds[kind as usize];
            let (per_minute, usual) = (counts.per_minute(), counts.mean);
            let is_within = range(&self.actor, kind).is_none_or(|range| range.holds(per_minute, usual));
            if !is_within && !counts.is_anomalous {
                anomalies.push(Anomaly { actor: self.actor.clone(), kind, per_minute, usual });
            }
            counts.is_anomalous = !is_within;
            counts.end_window(per_minute);
        }
    }
}

impl Counts {
    fn per_minute(&self) -> u32 {
        self.windows.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn end_window(&mut self, per_minute: u32) {
        self.mean += (float(per_minute) - self.mean) / MEAN_WINDOWS;
        self.windows.rotate_right(1);
        self.windows[0] = 0;
    }
}

impl UsualRange {
    fn holds(self, per_minute: u32, mean: f32) -> bool {
        float(per_minute) <= self.floor.max(self.factor * mean)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of millions may be off by one")]
fn float(count: u32) -> f32 {
    count as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: UsualRange = UsualRange { floor: 60.0, factor: 5.0 };

    fn tenant() -> TenantId {
        TenantId::new("t").unwrap()
    }

    fn minutes_of(activity: &Activity, per_window: usize, windows: usize) -> Vec<Anomaly> {
        let mut anomalies = Vec::new();
        for _ in 0..windows {
            (0..per_window).for_each(|_| activity.count_principal(ActivityKind::Refusals, &tenant(), "s"));
            anomalies.extend(activity.end_window(|_, _| Some(RANGE)));
        }
        anomalies
    }

    #[test]
    fn who_leaves_its_range_is_found_within_a_minute_and_once() {
        let activity = Activity::default();
        assert_eq!(minutes_of(&activity, 10, 12), [], "sixty a minute are the floor");
        let found = minutes_of(&activity, 11, 6);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].per_minute), (ActivityKind::Refusals, 61));
        assert_eq!(minutes_of(&activity, 11, 12), [], "it is known");
        assert_eq!(minutes_of(&activity, 0, 6), []);
        assert_eq!(minutes_of(&activity, 100, 1).len(), 1, "it was within its range meanwhile");
    }

    #[test]
    fn what_is_much_for_one_is_usual_for_another() {
        let (busy, quiet) = (Activity::default(), Activity::default());
        minutes_of(&busy, 30, 600);
        assert_eq!(minutes_of(&busy, 100, 6), [], "it does so all day");
        assert_eq!(minutes_of(&quiet, 100, 6).len(), 1);
        assert_eq!(minutes_of(&busy, 400, 6).len(), 1);
    }

    #[test]
    fn who_is_exempt_is_never_anomalous_and_the_idle_are_forgotten() {
        let activity = Activity::default();
        activity.count_address(ActivityKind::WrongTokens, [127, 0, 0, 1].into());
        assert_eq!(activity.end_window(|_, _| None), []);
        assert_eq!(activity.len(), 1);
        (0..IDLE_WINDOWS).for_each(|_| drop(activity.end_window(|_, _| None)));
        assert_eq!(activity.len(), 0);
    }

    #[test]
    fn only_so_many_are_watched() {
        let activity = Activity::default();
        for number in 0..2 * MAX_ACTORS {
            activity.count_principal(ActivityKind::Commands, &tenant(), &number.to_string());
        }
        assert!((MAX_ACTORS / 2..=MAX_ACTORS).contains(&activity.len()), "{}", activity.len());
    }
}
