//! How far reading the source has come for one session: one read at a time, and another
//! one after it if something happened meanwhile.

use std::num::NonZeroU64;

use super::Unavailable;

/// Its methods tell the caller what must follow.
#[derive(Debug, Default)]
pub(super) struct RefreshState {
    step: RefreshStep,
    /// The bus was asked for the session's writes.
    is_subscribed: bool,
    /// The last read found no such session.
    is_missing: bool,
    /// Number of the last read that began; the first one is 1.
    begun: u64,
    /// Number of the last read that was answered.
    answered: u64,
    /// The latest read that a subscriber waits for.
    awaited: Option<u64>,
    /// Why the last read failed; `None` once a read was answered.
    failure: Option<Unavailable>,
    /// A subscriber must be woken when a read fails.
    is_failure_awaited: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum RefreshStep {
    #[default]
    Idle,
    Queued(ReadKind),
    Running {
        /// The read that must follow, if something happened that this one may not have seen.
        next: Option<ReadKind>,
        /// The bus brought a write meanwhile.
        has_received: bool,
    },
}

/// Why the source is read; the later kind outranks the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ReadKind {
    /// To see whether anything was missed.
    Check,
    /// To learn the session's state.
    State,
}

/// A read that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) kind: ReadKind,
    /// The bus must be asked for the session's writes first.
    pub(super) must_subscribe: bool,
}

impl RefreshState {
    const RUNNING: RefreshStep = RefreshStep::Running { next: None, has_received: false };

    pub(super) fn is_idle(&self) -> bool {
        self.step == RefreshStep::Idle
    }

    pub(super) fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// Whether that read, or a later one, was answered.
    pub(super) fn is_answered(&self, read: NonZeroU64) -> bool {
        self.answered >= read.get()
    }

    /// Asks for a read, or for one more after the one that runs. Whether the topic must be queued.
    pub(super) fn request(&mut self, kind: ReadKind) -> bool {
        match &mut self.step {
            RefreshStep::Idle => {
                self.step = RefreshStep::Queued(kind);
                return true;
            }
            RefreshStep::Queued(queued) => *queued = kind.max(*queued),
            RefreshStep::Running { next, .. } => *next = Some(kind).max(*next),
        }
        false
    }

    /// Registers a subscriber that waits for the next read to begin; the number of that read.
    pub(super) fn await_next(&mut self) -> NonZeroU64 {
        let read = NonZeroU64::MIN.saturating_add(self.begun);
        self.awaited = Some(read.get());
        read
    }

    pub(super) fn begin(&mut self) -> Read {
        let kind = if let RefreshStep::Queued(kind) = self.step { kind } else { ReadKind::State };
        self.step = Self::RUNNING;
        self.begun += 1;
        Read { kind, must_subscribe: !self.is_subscribed }
    }

    pub(super) fn mark_subscribed(&mut self) {
        self.is_subscribed = true;
    }

    /// The bus brought a write.
    pub(super) fn receive(&mut self) {
        if let RefreshStep::Running { has_received, .. } = &mut self.step {
            *has_received = true;
        }
    }

    pub(super) fn mark_found(&mut self) {
        self.is_missing = false;
    }

    /// The source knows no such session. `false`: it may have been created since the read began.
    pub(super) fn mark_missing(&mut self) -> bool {
        let is_current = self.step == Self::RUNNING;
        self.is_missing |= is_current;
        is_current
    }

    /// The read was answered. Whether a subscriber waited for that.
    pub(super) fn finish(&mut self) -> bool {
        self.failure = None;
        self.answered = self.begun;
        // A subscriber that came while this read ran waits for the next one.
        self.awaited.take_if(|read| *read <= self.answered).is_some()
    }

    /// The read failed. Whether a subscriber waits for that.
    pub(super) fn fail(&mut self, why: Unavailable) -> bool {
        self.failure = Some(why);
        std::mem::take(&mut self.is_failure_awaited)
    }

    /// Why the last read failed, if it did; registers a subscriber that waits for the next failure.
    pub(super) fn await_failure(&mut self) -> Option<Unavailable> {
        self.is_failure_awaited = true;
        self.failure
    }

    /// A subscriber came: the session may exist by now, and the source may be back.
    pub(super) fn join(&mut self) {
        self.is_missing = false;
        self.failure = None;
    }

    /// The read is over. Whether the topic must be queued for another.
    pub(super) fn end(&mut self) -> bool {
        self.step = match self.step {
            RefreshStep::Running { next: Some(kind), .. } => RefreshStep::Queued(kind),
            _ => RefreshStep::Idle,
        };
        !self.is_idle()
    }

    /// Keeps reads away while the bus is asked for no more writes; `false` if a read is due.
    pub(super) fn begin_leave(&mut self) -> bool {
        let is_idle = self.is_idle();
        if is_idle {
            self.step = Self::RUNNING;
            self.is_subscribed = false;
        }
        is_idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state whose first read runs.
    fn running() -> RefreshState {
        let mut state = RefreshState::default();
        assert!(state.request(ReadKind::State));
        state.begin();
        state
    }

    #[test]
    fn a_request_queues_once_and_a_state_outranks_a_check() {
        let mut state = RefreshState::default();
        assert!(state.request(ReadKind::Check));
        assert!(!state.request(ReadKind::State) && !state.request(ReadKind::Check));
        assert_eq!(state.begin(), Read { kind: ReadKind::State, must_subscribe: true });
        state.mark_subscribed();
        assert!(!state.end() && state.is_idle());
        assert!(state.request(ReadKind::Check));
        assert_eq!(state.begin(), Read { kind: ReadKind::Check, must_subscribe: false });
    }

    #[test]
    fn a_request_during_a_read_queues_one_more_at_its_end() {
        let mut state = running();
        assert!(!state.request(ReadKind::Check) && !state.request(ReadKind::Check));
        assert!(state.end());
        assert!(!state.request(ReadKind::Check), "it is queued already");
        assert_eq!(state.begin().kind, ReadKind::Check);
        assert!(!state.end());
    }

    #[test]
    fn an_absent_session_is_missing_unless_something_happened_during_the_read() {
        let mut state = running();
        state.receive();
        assert!(!state.mark_missing() && !state.is_missing());
        assert!(!state.request(ReadKind::State));
        assert!(state.end());
        state.begin();
        assert!(!state.request(ReadKind::Check));
        assert!(!state.mark_missing() && !state.is_missing());
        assert!(state.end());
        state.begin();
        assert!(state.mark_missing() && state.is_missing());
        state.join();
        assert!(!state.is_missing());
    }

    #[test]
    fn a_subscriber_waits_for_a_read_that_begins_after_it_came() {
        let mut state = running();
        let read = state.await_next();
        assert!(!state.finish() && !state.is_answered(read), "the first read began before it came");
        assert!(!state.request(ReadKind::Check) && state.end());
        state.begin();
        assert!(state.finish() && state.is_answered(read));
        assert!(!state.finish(), "no subscriber waits any more");
    }

    #[test]
    fn a_failure_wakes_once_and_an_answer_clears_it() {
        let mut state = running();
        assert!(!state.fail(Unavailable::STORE), "no subscriber has asked");
        assert_eq!(state.await_failure(), Some(Unavailable::STORE));
        assert!(state.fail(Unavailable::STORE) && !state.fail(Unavailable::STORE));
        state.finish();
        assert_eq!(state.await_failure(), None);
        state.fail(Unavailable::STORE);
        state.join();
        assert_eq!(state.await_failure(), None);
    }

    #[test]
    fn leaving_keeps_reads_away_and_the_next_read_subscribes_again() {
        let mut state = running();
        state.mark_subscribed();
        assert!(!state.begin_leave(), "a read runs");
        state.end();
        assert!(state.begin_leave() && !state.begin_leave());
        assert!(!state.request(ReadKind::State) && state.end());
        assert!(state.begin().must_subscribe);
    }
}
