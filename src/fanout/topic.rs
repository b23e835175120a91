//! One watched session: its ring, who is to be woken, and how its reading stands.
//!
//! Its locks are held for a moment, never across an await and never one inside
//! another, but for the plan of the warnings: one task holds it and looks at the rest.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Waker;

use tokio::time::Instant;

use super::hub::Shared;
use super::refresh_state::RefreshState;
use super::ring::{Delta, JoinPoint, Merge, Ring, Slot};
use super::update::Update;
use super::wake_list::WakeList;
use super::warning_plan::Plan;
use super::{Newest, Settings, Unavailable};
use crate::bus::Message;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::telemetry::metrics;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) key: SessionKey,
    /// Later ones have larger ones.
    pub(super) number: u64,
    lines: Arc<Shared>,
    ring: RwLock<Ring>,
    /// The ring's next place, to be compared without its lock.
    next: AtomicU64,
    subscribers: Mutex<Subscribers>,
    refresh: Mutex<RefreshState>,
    plan: Mutex<Plan>,
    /// There is no such session, said the last read.
    is_missing: AtomicBool,
    /// Something was heard since the last check.
    received_since_check: AtomicBool,
    /// Something was heard since the last read began.
    received_since_read: AtomicBool,
    /// The read it stands in line for only checks.
    is_check_only: AtomicBool,
    /// Reads that have begun, and the last of them that was answered.
    reads_begun: AtomicU64,
    reads_answered: AtomicU64,
    /// The last read that somebody waits for; 0 if nobody waits for one.
    read_awaited: AtomicU64,
    /// Why the last read failed; `None` once one was answered.
    failure: Mutex<Option<Unavailable>>,
    /// Somebody without a place wants to know when a read fails.
    is_failure_awaited: AtomicBool,
    /// It stands in line for its warnings to be looked at.
    is_replan_queued: AtomicBool,
}

#[derive(Debug)]
struct Subscribers {
    wakers: WakeList,
    /// Since when nobody has been watching; `None` while somebody is.
    empty_since: Option<Instant>,
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Topic {
    pub(super) fn new(key: SessionKey, lines: Arc<Shared>) -> Self {
        let crowd = Subscribers { wakers: WakeList::default(), empty_since: None };
        Self {
            key,
            number: lines.next_topic_number(),
            lines,
            ring: RwLock::new(Ring::new()),
            next: AtomicU64::new(0),
            subscribers: Mutex::new(crowd),
            refresh: Mutex::default(),
            plan: Mutex::default(),
            is_missing: AtomicBool::new(false),
            received_since_check: AtomicBool::new(false),
            received_since_read: AtomicBool::new(false),
            is_check_only: AtomicBool::new(false),
            reads_begun: AtomicU64::new(0),
            reads_answered: AtomicU64::new(0),
            read_awaited: AtomicU64::new(0),
            failure: Mutex::default(),
            is_failure_awaited: AtomicBool::new(false),
            is_replan_queued: AtomicBool::new(false),
        }
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ring; what comes after it in the caller sees the new end.
    fn change<T>(&self, change: impl FnOnce(&mut Ring) -> T) -> T {
        let mut ring: RwLockWriteGuard<'_, Ring> = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut ring);
        self.next.store(ring.next(), Ordering::Release);
        outcome
    }

    // What comes in.

    /// The bus told of a write.
    pub(super) fn receive(self: &Arc<Self>, message: &Message, settings: &Settings) {
        self.received_since_check.store(true, Ordering::Relaxed);
        self.received_since_read.store(true, Ordering::Relaxed);
        let told = Update::write(message);
        let (merged, must_read) = self.change(|ring| {
            let merged = ring.append(told, settings);
            (merged, !ring.is_known())
        });
        match merged {
            Merge::Known => return,
            Merge::Gap => ::metrics::counter!(metrics::GAPS_TOTAL).increment(1),
            Merge::Appended => {}
        }
        self.is_missing.store(false, Ordering::Relaxed);
        if must_read {
            self.request_read();
        }
        self.mark_changed();
    }

    /// The source was read. Whether that answers who asked.
    pub(super) fn merge(self: &Arc<Self>, newest: Newest, settings: &Settings) -> bool {
        // It was created again after that end, and the store has lost it.
        if newest.is_deleted && self.ring().newest() > Some(newest.position) {
            return self.mark_missing();
        }
        self.is_missing.store(false, Ordering::Relaxed);
        if self.change(|ring| ring.read(&self.key.session, newest, settings)) {
            self.mark_changed();
        }
        true
    }

    /// The source says that there is no such session. It may have been made since it
    /// was asked: who came or what was heard meanwhile has it asked again, and what is known here
    /// answers nobody until then. Whether that answers who asked.
    pub(super) fn mark_missing(self: &Arc<Self>) -> bool {
        if lock(&self.refresh).is_outdated() || self.received_since_read.load(Ordering::Relaxed) {
            self.request_read();
            return false;
        }
        self.change(Ring::forget);
        self.is_missing.store(true, Ordering::Relaxed);
        self.wake();
        true
    }

    /// Warnings are due: for those who are here.
    pub(super) fn warn(self: &Arc<Self>, told: Update, settings: &Settings) {
        self.change(|ring| ring.warn(told, settings));
        self.wake();
    }

    /// Something may have been missed.
    pub(super) fn invalidate(self: &Arc<Self>) {
        self.is_check_only.store(false, Ordering::Relaxed);
        if self.is_watched() {
            self.request_read();
        } else {
            self.change(Ring::forget);
        }
    }

    fn mark_changed(self: &Arc<Self>) {
        self.wake();
        self.replan();
    }

    /// Has its warnings looked at: somebody came, something was told, or it is forgotten.
    pub(super) fn replan(self: &Arc<Self>) {
        if !self.is_replan_queued.swap(true, Ordering::AcqRel) {
            self.lines.warnings.push(Arc::clone(self));
        }
    }

    /// What is new since `seen`, for whoever plans the warnings.
    pub(super) fn delta(&self, seen: Option<Position>) -> Option<Delta> {
        self.is_replan_queued.store(false, Ordering::Release);
        self.ring().delta(seen)
    }

    /// For the one task that tells warnings.
    pub(super) fn plan(&self) -> MutexGuard<'_, Plan> {
        lock(&self.plan)
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.ring().is_deleted()
    }

    pub(super) fn is_known(&self) -> bool {
        self.ring().is_known()
    }

    // What is asked by subscribers.

    pub(super) fn has_updates_beyond(&self, place: u64) -> bool {
        self.next.load(Ordering::Acquire) != place
    }

    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    pub(super) fn at(&self, place: u64) -> Slot {
        self.ring().at(place)
    }

    pub(super) fn after(&self, last: Position) -> Option<u64> {
        self.ring().after(last)
    }

    pub(super) fn join_point(self: &Arc<Self>) -> JoinPoint {
        let entrance = self.change(|ring| ring.join_point(&self.key.session));
        if matches!(entrance, JoinPoint::Unknown) && !self.is_missing() && lock(&self.refresh).is_idle() {
            self.request_read();
        }
        entrance
    }

    /// Whether something newer than all that is known here is claimed to exist.
    pub(super) fn is_before(&self, claimed: Position) -> bool {
        self.ring().newest().is_some_and(|newest| newest < claimed)
    }

    /// Has it read whether there is anything newer; gives the number of that read.
    pub(super) fn request_confirmation(self: &Arc<Self>) -> u64 {
        let read = self.reads_begun.load(Ordering::Acquire) + 1;
        self.read_awaited.fetch_max(read, Ordering::AcqRel);
        self.request_check();
        read
    }

    /// Whether that read, or a later one, was answered.
    pub(super) fn is_confirmed(&self, read: u64) -> bool {
        self.reads_answered.load(Ordering::Acquire) >= read
    }

    /// The read under way was answered, and what it said is known here.
    pub(super) fn finish_read(self: &Arc<Self>) {
        *lock(&self.failure) = None;
        let answered = self.reads_begun.load(Ordering::Acquire);
        self.reads_answered.store(answered, Ordering::Release);
        // Whoever began to wait while this read was under way waits for the next one.
        let is_over = |doubted| (doubted > 0 && doubted <= answered).then_some(0);
        if self.read_awaited.fetch_update(Ordering::AcqRel, Ordering::Acquire, is_over).is_ok() {
            self.wake();
        }
    }

    /// The read under way failed.
    pub(super) fn fail_read(self: &Arc<Self>, why: Unavailable) {
        *lock(&self.failure) = Some(why);
        if self.is_failure_awaited.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// Why the last read failed, if it did. Whoever asks is woken when the next one fails.
    pub(super) fn failure(&self) -> Option<Unavailable> {
        self.is_failure_awaited.store(true, Ordering::Release);
        *lock(&self.failure)
    }

    pub(super) fn is_missing(&self) -> bool {
        self.is_missing.load(Ordering::Relaxed)
    }

    // Who is here.

    pub(super) fn join(self: &Arc<Self>) -> u32 {
        // It may have been made since it was missed, and what failed may be back.
        self.is_missing.store(false, Ordering::Relaxed);
        *lock(&self.failure) = None;
        let (slot, was_empty) = {
            let mut crowd = lock(&self.subscribers);
            let was_empty = crowd.wakers.len() == 0;
            crowd.empty_since = None;
            (crowd.wakers.join(), was_empty)
        };
        if self.ring().newest().is_none() {
            self.request_read();
        } else if was_empty {
            self.replan();
        }
        slot
    }

    pub(super) fn leave(&self, slot: u32) {
        let mut crowd = lock(&self.subscribers);
        crowd.wakers.leave(slot);
        if crowd.wakers.len() == 0 {
            crowd.empty_since = Some(Instant::now());
        }
    }

    pub(super) fn set_waker(&self, slot: u32, waker: Option<Waker>) {
        lock(&self.subscribers).wakers.set(slot, waker);
    }

    pub(super) fn is_watched(&self) -> bool {
        lock(&self.subscribers).empty_since.is_none()
    }

    /// Whether nobody has watched since `instant`, or anything useful could be resumed.
    pub(super) fn is_unwatched_since(&self, since: Instant) -> bool {
        let is_missing = self.is_missing();
        lock(&self.subscribers).empty_since.is_some_and(|empty| is_missing || empty <= since)
    }

    pub(super) fn wake(self: &Arc<Self>) {
        if lock(&self.subscribers).wakers.wake() {
            self.lines.wakes.push(Arc::clone(self));
        }
    }

    pub(super) fn wake_next_batch(&self) -> bool {
        lock(&self.subscribers).wakers.wake_next_batch()
    }

    // How its reading stands.

    /// Has the source read soon, and once more if it is being read now.
    pub(super) fn request_read(self: &Arc<Self>) {
        if lock(&self.refresh).request() {
            self.lines.refreshes.push(Arc::clone(self));
        }
    }

    /// The same, only to see whether anything was missed.
    pub(super) fn request_check(self: &Arc<Self>) {
        self.is_check_only.store(true, Ordering::Relaxed);
        self.request_read();
    }

    /// Whether the read that begins is such a check.
    pub(super) fn take_check(&self) -> bool {
        self.is_check_only.swap(false, Ordering::Relaxed)
    }

    /// Whether it knew where the session stood, and that is further on.
    pub(super) fn is_behind(&self, newest: Option<&Newest>) -> bool {
        let known = self.ring().newest();
        newest.is_some_and(|newest| known.is_some_and(|known| known < newest.position))
    }

    /// Whether the bus must be asked to listen first.
    pub(super) fn begin_read(&self) -> bool {
        self.received_since_read.store(false, Ordering::Relaxed);
        self.reads_begun.fetch_add(1, Ordering::AcqRel);
        lock(&self.refresh).begin()
    }

    pub(super) fn mark_subscribed(&self) {
        lock(&self.refresh).is_subscribed = true;
    }

    pub(super) fn end_read(self: &Arc<Self>) {
        if lock(&self.refresh).end() {
            self.request_read();
        }
    }

    /// Keeps reads away while it is being forgotten; `false` if one is under way.
    pub(super) fn begin_leave(&self) -> bool {
        lock(&self.refresh).begin_leave()
    }

    /// Whether something was heard since this was last asked.
    pub(super) fn take_received(&self) -> bool {
        self.received_since_check.swap(false, Ordering::Relaxed)
    }

    pub(super) fn trim(&self, heard_before: Instant) {
        // The end does not move, so nobody needs to know.
        self.ring.write().unwrap_or_else(PoisonError::into_inner).trim(heard_before);
    }
}
