//! One watched session: its ring, its subscribers, and how far reading it has come.
//!
//! One lock guards the state. It is held for a moment, and never across an await, a parse
//! of a frame or a wake-up. The caller applies the [`Effects`] of a change afterwards.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;

use super::lock::lock;
use super::refresh_state::{Read, ReadKind, RefreshState};
use super::ring::{Delta, JoinPoint, Merge, Ring, Slot};
use super::update::Update;
use super::wake_list::WakeList;
use super::warning_plan::Plan;
use super::{NewestState, Settings, Unavailable};
use crate::bus::Message;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics;
use crate::wire::frame::Warning;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) key: SessionKey,
    /// Later topics have larger numbers.
    pub(super) number: u64,
    /// Has a lock of its own: waking takes longer than reading the ring, and readers do not wait for it.
    pub(super) wake_list: WakeList,
    /// The ring's next place, which subscribers compare without the lock.
    next: AtomicU64,
    state: Mutex<TopicState>,
}

/// What a change of a topic asks of the tasks.
#[must_use = "the caller hands them to `Shared::apply`"]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effects {
    /// The topic must be queued for a read of its source.
    pub(super) refresh: bool,
    /// Its subscribers must be woken.
    pub(super) wake: bool,
    /// The topic must be queued for its warnings to be planned anew.
    pub(super) replan: bool,
}

#[derive(Debug)]
struct TopicState {
    ring: Ring,
    refresh: RefreshState,
    plan: Plan,
    /// The topic is queued for its warnings to be planned anew.
    is_replan_queued: bool,
    /// The bus brought a write since the last check.
    has_received: bool,
    subscribers: usize,
    /// When the last subscriber left.
    emptied_at: Instant,
}

impl Effects {
    pub(super) const WAKE: Self = Self { refresh: false, wake: true, replan: false };

    fn refresh(refresh: bool) -> Self {
        Self { refresh, ..Self::default() }
    }
}

impl Topic {
    pub(super) fn new(key: SessionKey, number: u64) -> Self {
        let state = TopicState::new();
        let next = AtomicU64::new(state.ring.next());
        Self { key, number, wake_list: WakeList::default(), next, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, TopicState> {
        lock(&self.state)
    }

    /// Changes the state, its ring included.
    fn change<T>(&self, change: impl FnOnce(&mut TopicState) -> T) -> T {
        let mut state = self.state();
        let outcome = change(&mut state);
        self.next.store(state.ring.next(), Ordering::Release);
        outcome
    }

    // For the tasks.

    /// The bus brought a write.
    pub(super) fn receive(&self, message: &Message, settings: &Settings) -> Effects {
        let update = Update::write(message);
        self.change(|state| state.receive(update, settings))
    }

    /// Something may have been missed.
    pub(super) fn invalidate(&self) -> Effects {
        self.change(TopicState::invalidate)
    }

    pub(super) fn request(&self, kind: ReadKind) -> Effects {
        self.state().request(kind)
    }

    pub(super) fn begin_read(&self) -> Read {
        self.state().refresh.begin()
    }

    pub(super) fn mark_subscribed(&self) {
        self.state().refresh.mark_subscribed();
    }

    /// Whether the session's position is known here, and `newest` is a later one.
    pub(super) fn is_behind(&self, newest: Option<&NewestState>) -> bool {
        newest.is_some_and(|newest| self.state().ring.is_before(Some(newest.position)))
    }

    /// Merges what the source found. Whether the session's state is known now, or known not to exist.
    pub(super) fn finish_read(&self, found: Option<NewestState>, settings: &Settings) -> (bool, Effects) {
        self.change(|state| state.finish_read(&self.key.session, found, settings))
    }

    pub(super) fn fail_read(&self, why: Unavailable) -> Effects {
        Effects { wake: self.state().refresh.fail(why), ..Effects::default() }
    }

    pub(super) fn end_read(&self) -> Effects {
        Effects::refresh(self.state().refresh.end())
    }

    /// Evicts what was received before `oldest`, and asks for a check if the bus has been silent.
    pub(super) fn check(&self, oldest: Option<Instant>) -> Effects {
        // The end of the ring does not move, so `next` stays.
        self.state().check(oldest)
    }

    /// Begins to forget the session, if it has been unwatched since `since` and no read is due.
    pub(super) fn begin_leave(&self, since: Instant) -> bool {
        self.state().begin_leave(since)
    }

    pub(super) fn is_watched(&self) -> bool {
        self.state().subscribers > 0
    }

    pub(super) fn replan(&self) -> Effects {
        Effects { replan: self.state().replan(), ..Effects::default() }
    }

    /// Takes the plan out, so that frames are parsed without the lock; whether the session is
    /// watched; and what is new to the plan. The one task that plans must put it back.
    pub(super) fn take_plan(&self) -> (Plan, bool, Option<Delta>) {
        self.state().take_plan()
    }

    pub(super) fn put_plan(&self, plan: Plan) {
        self.state().plan = plan;
    }

    /// The warnings due by `now`, and when the next one is due.
    pub(super) fn take_warnings(&self, now: Timestamp) -> (Vec<Warning>, Option<Timestamp>) {
        let mut state = self.state();
        (state.plan.take(now), state.plan.next())
    }

    /// The position that the plan follows.
    #[cfg(test)]
    pub(super) fn planned(&self) -> Option<Position> {
        self.state().plan.seen()
    }

    pub(super) fn warn(&self, warnings: Update, settings: &Settings) -> Effects {
        self.change(|state| state.ring.warn(warnings, settings));
        Effects::WAKE
    }

    // For subscribers.

    /// Adds a subscriber: its slot in the wake list.
    pub(super) fn join(&self) -> (u32, Effects) {
        let effects = self.state().join();
        (self.wake_list.join(), effects)
    }

    pub(super) fn leave(&self, wake_slot: u32) {
        self.wake_list.leave(wake_slot);
        let mut state = self.state();
        state.subscribers -= 1;
        if state.subscribers == 0 {
            state.emptied_at = Instant::now();
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    pub(super) fn at(&self, place: u64) -> Slot {
        self.state().ring.at(place)
    }

    /// Puts the sealed form of an entry in its place.
    pub(super) fn replace(&self, place: u64, sealed: Update) -> Arc<Update> {
        self.state().ring.replace(place, sealed)
    }

    /// The same for the state that new subscribers begin with.
    pub(super) fn replace_state(&self, sealed: Update) -> Arc<Update> {
        self.state().ring.replace_state(sealed)
    }

    /// The newest position.
    pub(super) fn newest(&self) -> Option<Position> {
        self.state().ring.newest()
    }

    /// Where a subscriber that has seen `last` joins. `awaited` is the read that it waits for, once it waits.
    pub(super) fn join_point(&self, last: Option<Position>, awaited: &mut Option<NonZeroU64>) -> (JoinPoint, Effects) {
        self.state().join_point(&self.key.session, last, awaited)
    }

    /// Why the last read failed, if it did. Subscribers are woken when the next one fails.
    pub(super) fn await_failure(&self) -> Option<Unavailable> {
        self.state().refresh.await_failure()
    }
}

impl TopicState {
    fn new() -> Self {
        Self {
            ring: Ring::new(),
            refresh: RefreshState::default(),
            plan: Plan::default(),
            is_replan_queued: false,
            has_received: false,
            subscribers: 0,
            emptied_at: Instant::now(),
        }
    }

    fn request(&mut self, kind: ReadKind) -> Effects {
        Effects::refresh(self.refresh.request(kind))
    }

    /// Whether the topic must be queued for that.
    fn replan(&mut self) -> bool {
        !std::mem::replace(&mut self.is_replan_queued, true)
    }

    fn receive(&mut self, update: Update, settings: &Settings) -> Effects {
        self.has_received = true;
        self.refresh.receive();
        match self.ring.append(update, settings) {
            Merge::Known => return Effects::default(),
            Merge::Gap => ::metrics::counter!(metrics::GAPS_TOTAL).increment(1),
            Merge::Appended => {}
        }
        self.refresh.mark_found();
        let refresh = !self.ring.is_known() && self.refresh.request(ReadKind::State);
        Effects { refresh, wake: true, replan: self.replan() }
    }

    fn invalidate(&mut self) -> Effects {
        if self.subscribers > 0 {
            return self.request(ReadKind::State);
        }
        self.ring.forget();
        Effects::default()
    }

    fn finish_read(&mut self, session: &SessionId, found: Option<NewestState>, settings: &Settings) -> (bool, Effects) {
        let Some(newest) = found else { return (true, self.mark_missing()) };
        // The session was created again after that deletion, and the store has lost it.
        if newest.is_deleted && self.ring.newest() > Some(newest.position) {
            let effects = self.mark_missing();
            return (self.ring.is_known(), effects);
        }
        self.refresh.mark_found();
        let is_new = self.ring.read(session, newest, settings);
        let wake = self.refresh.finish() || is_new;
        (self.ring.is_known(), Effects { wake, replan: is_new && self.replan(), ..Effects::default() })
    }

    /// The source knows no such session. If it may exist by now, the source is read again, and
    /// no subscriber gets an answer until then.
    fn mark_missing(&mut self) -> Effects {
        if !self.refresh.mark_missing() {
            return self.request(ReadKind::State);
        }
        self.refresh.finish();
        self.ring.forget();
        Effects::WAKE
    }

    fn check(&mut self, oldest: Option<Instant>) -> Effects {
        oldest.inspect(|oldest| self.ring.trim(*oldest));
        // A write that was missed shows as a gap before the one that was received.
        if std::mem::take(&mut self.has_received) || self.subscribers == 0 {
            return Effects::default();
        }
        self.request(ReadKind::Check)
    }

    fn begin_leave(&mut self, since: Instant) -> bool {
        // A missing session leaves nothing to resume from.
        let is_unwatched = self.subscribers == 0 && (self.refresh.is_missing() || self.emptied_at <= since);
        is_unwatched && self.refresh.begin_leave()
    }

    fn take_plan(&mut self) -> (Plan, bool, Option<Delta>) {
        self.is_replan_queued = false;
        let (plan, is_watched) = (std::mem::take(&mut self.plan), self.subscribers > 0);
        let delta = if is_watched { self.ring.delta(plan.seen()) } else { None };
        (plan, is_watched, delta)
    }

    fn join(&mut self) -> Effects {
        self.refresh.join();
        self.subscribers += 1;
        if self.ring.newest().is_none() {
            return self.request(ReadKind::State);
        }
        Effects { replan: self.subscribers == 1 && self.replan(), ..Effects::default() }
    }

    fn join_point(
        &mut self,
        session: &SessionId,
        last: Option<Position>,
        awaited: &mut Option<NonZeroU64>,
    ) -> (JoinPoint, Effects) {
        // Another instance may know more: a newer position, or that a deleted session was created again.
        if self.ring.is_before(last) || self.ring.is_deleted() {
            let Some(read) = *awaited else {
                *awaited = Some(self.refresh.await_next());
                return (JoinPoint::Unknown, self.request(ReadKind::Check));
            };
            if !self.refresh.is_answered(read) {
                return (JoinPoint::Unknown, Effects::default());
            }
        }
        match self.ring.join_point(session, last) {
            JoinPoint::Unknown if self.refresh.is_missing() => (JoinPoint::Missing, Effects::default()),
            JoinPoint::Unknown if self.refresh.is_idle() => (JoinPoint::Unknown, self.request(ReadKind::State)),
            point => (point, Effects::default()),
        }
    }
}
