//! The wakers of a topic's subscribers.
//!
//! A subscriber leaves its waker once and it stays. So an update costs neither side an
//! allocation, and the subscriber no lock.

use std::sync::Mutex;
use std::task::Waker;

use super::lock::lock;

/// A topic with more subscribers wakes them in batches of this size, between which other tasks run.
const BATCH_SIZE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct WakeList(Mutex<Wakers>);

#[derive(Debug, Default)]
struct Wakers {
    slots: Vec<Option<Waker>>,
    free: Vec<u32>,
    batches: BatchState,
}

/// How far a topic has come in waking its subscribers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BatchState {
    #[default]
    Idle,
    /// The next batch begins at slot `from`; `again`: all slots follow once more.
    Running { from: usize, again: bool },
}

impl WakeList {
    /// Adds a subscriber: its slot.
    pub(super) fn join(&self) -> u32 {
        lock(&self.0).join()
    }

    pub(super) fn leave(&self, slot: u32) {
        lock(&self.0).leave(slot);
    }

    pub(super) fn set(&self, slot: u32, waker: Option<Waker>) {
        lock(&self.0).set(slot, waker);
    }

    /// Wakes all, or the first of many batches later. Whether the topic must be queued for those.
    pub(super) fn wake(&self) -> bool {
        lock(&self.0).wake()
    }

    /// Wakes the next batch. Whether another follows.
    pub(super) fn wake_next_batch(&self) -> bool {
        lock(&self.0).wake_next_batch()
    }
}

impl Wakers {
    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn join(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        self.slots.push(None);
        // No instance has four billion sockets.
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    fn leave(&mut self, slot: u32) {
        self.set(slot, None);
        self.free.push(slot);
        if self.len() == 0 {
            *self = Self { batches: self.batches, ..Self::default() };
        }
    }

    fn set(&mut self, slot: u32, waker: Option<Waker>) {
        if let Some(stored) = self.slots.get_mut(slot as usize) {
            *stored = waker;
        }
    }

    fn wake(&mut self) -> bool {
        match &mut self.batches {
            BatchState::Running { again, .. } => *again = true,
            BatchState::Idle if self.slots.len() > BATCH_SIZE => {
                self.batches = BatchState::Running { from: 0, again: false };
                return true;
            }
            BatchState::Idle => self.wake_from(0),
        }
        false
    }

    fn wake_next_batch(&mut self) -> bool {
        let BatchState::Running { from, again } = self.batches else { return false };
        self.wake_from(from);
        self.batches = match (from + BATCH_SIZE < self.slots.len(), again) {
            (true, _) => BatchState::Running { from: from + BATCH_SIZE, again },
            (false, true) => BatchState::Running { from: 0, again: false },
            (false, false) => BatchState::Idle,
        };
        self.batches != BatchState::Idle
    }

    fn wake_from(&self, from: usize) {
        self.slots.iter().skip(from).take(BATCH_SIZE).flatten().for_each(Waker::wake_by_ref);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct WakeCount(AtomicUsize);

    impl Wake for WakeCount {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn list_of(size: usize) -> (WakeList, Arc<WakeCount>) {
        let (list, count) = (WakeList::default(), Arc::new(WakeCount::default()));
        for _ in 0..size {
            let slot = list.join();
            list.set(slot, Some(Arc::clone(&count).into()));
        }
        (list, count)
    }

    #[test]
    fn few_are_woken_at_once_and_many_in_batches() {
        let (few, count) = list_of(BATCH_SIZE);
        assert!(!few.wake());
        assert_eq!(count.0.load(Ordering::Relaxed), BATCH_SIZE);

        let (many, count) = list_of(3 * BATCH_SIZE + 1);
        assert!(many.wake());
        let batches = 1 + std::iter::from_fn(|| many.wake_next_batch().then_some(())).count();
        assert_eq!((batches, count.0.load(Ordering::Relaxed)), (4, 3 * BATCH_SIZE + 1));
    }

    #[test]
    fn a_wake_between_batches_wakes_everyone_once_more() {
        let (many, count) = list_of(2 * BATCH_SIZE);
        assert!(many.wake() && many.wake_next_batch());
        assert!(!many.wake(), "it is queued already");
        while many.wake_next_batch() {}
        assert_eq!(count.0.load(Ordering::Relaxed), 4 * BATCH_SIZE);
        assert_eq!(lock(&many.0).batches, BatchState::Idle);
    }

    #[test]
    fn a_slot_is_used_again_and_an_empty_list_frees_its_memory() {
        let (list, _) = list_of(100);
        list.leave(7);
        assert_eq!((list.join(), lock(&list.0).len()), (7, 100));
        (0..100).for_each(|slot| list.leave(slot));
        let wakers = lock(&list.0);
        assert_eq!((wakers.len(), wakers.slots.capacity()), (0, 0));
    }
}
