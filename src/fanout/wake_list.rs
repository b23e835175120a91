//! Who is to be woken when a topic has something to tell.
//!
//! A subscriber leaves its waker once and it stays, so that being told costs neither
//! side an allocation and the subscriber no lock.

use std::task::Waker;

/// So many are woken at once; more are woken in waves, between which others run.
pub(super) const BATCH_SIZE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct WakeList {
    slots: Vec<Option<Waker>>,
    free: Vec<u32>,
    wave: BatchState,
}

/// How far a topic has come in waking its subscribers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BatchState {
    #[default]
    Calm,
    /// Those from this slot on are still to be woken; `again`: and then all, once more.
    Running { from: usize, again: bool },
}

impl WakeList {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn join(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        self.slots.push(None);
        // No instance has four billion sockets.
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn leave(&mut self, slot: u32) {
        self.set(slot, None);
        self.free.push(slot);
        if self.len() == 0 {
            *self = Self { wave: self.wave, ..Self::default() };
        }
    }

    pub(super) fn set(&mut self, slot: u32, waker: Option<Waker>) {
        if let Some(held) = self.slots.get_mut(slot as usize) {
            *held = waker;
        }
    }

    /// Something was told. Whether the topic must now join those that wake in waves.
    pub(super) fn wake(&mut self) -> bool {
        match &mut self.wave {
            BatchState::Running { again, .. } => *again = true,
            BatchState::Calm if self.slots.len() > BATCH_SIZE => {
                self.wave = BatchState::Running { from: 0, again: false };
                return true;
            }
            BatchState::Calm => self.wake_from(0),
        }
        false
    }

    /// The next wave. Whether there is another.
    pub(super) fn wake_next_batch(&mut self) -> bool {
        let BatchState::Running { from, again } = self.wave else { return false };
        self.wake_from(from);
        self.wave = match (from + BATCH_SIZE < self.slots.len(), again) {
            (true, _) => BatchState::Running { from: from + BATCH_SIZE, again },
            (false, true) => BatchState::Running { from: 0, again: false },
            (false, false) => BatchState::Calm,
        };
        self.wave != BatchState::Calm
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
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn crowd(size: usize) -> (WakeList, Arc<Count>) {
        let (mut wakers, count) = (WakeList::default(), Arc::new(Count::default()));
        for _ in 0..size {
            let slot = wakers.join();
            wakers.set(slot, Some(Arc::clone(&count).into()));
        }
        (wakers, count)
    }

    #[test]
    fn few_are_woken_at_once_and_many_in_waves() {
        let (mut few, count) = crowd(BATCH_SIZE);
        assert!(!few.wake());
        assert_eq!(count.0.load(Ordering::Relaxed), BATCH_SIZE);

        let (mut many, count) = crowd(3 * BATCH_SIZE + 1);
        assert!(many.wake());
        let waves = 1 + std::iter::from_fn(|| many.wake_next_batch().then_some(())).count();
        assert_eq!((waves, count.0.load(Ordering::Relaxed)), (4, 3 * BATCH_SIZE + 1));
    }

    #[test]
    fn what_is_told_during_a_wave_wakes_everyone_once_more() {
        let (mut many, count) = crowd(2 * BATCH_SIZE);
        assert!(many.wake() && many.wake_next_batch());
        assert!(!many.wake(), "it stands in line already");
        while many.wake_next_batch() {}
        assert_eq!(count.0.load(Ordering::Relaxed), 4 * BATCH_SIZE);
        assert_eq!(many.wave, BatchState::Calm);
    }

    #[test]
    fn a_slot_is_used_again_and_an_empty_room_holds_nothing() {
        let (mut wakers, _) = crowd(100);
        wakers.leave(7);
        assert_eq!((wakers.join(), wakers.len()), (7, 100));
        (0..100).for_each(|slot| wakers.leave(slot));
        assert_eq!((wakers.len(), wakers.slots.capacity()), (0, 0));
    }
}
