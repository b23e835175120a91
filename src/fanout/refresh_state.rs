//! How reading the source stands for one session: one read at a time, and another
//! after it if something came up meanwhile.

#[derive(Debug, Default)]
pub(super) struct RefreshState {
    /// The bus was asked to listen.
    pub(super) is_subscribed: bool,
    step: RefreshStep,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum RefreshStep {
    #[default]
    Idle,
    Queued,
    Running {
        /// Something happened that this read may not have seen.
        again: bool,
    },
}

impl RefreshState {
    pub(super) fn is_idle(&self) -> bool {
        self.step == RefreshStep::Idle
    }

    /// Whether the read under way may have missed something.
    pub(super) fn is_outdated(&self) -> bool {
        self.step == RefreshStep::Running { again: true }
    }

    /// Has it read soon, or once more. Whether it must be put in line for that.
    pub(super) fn request(&mut self) -> bool {
        match &mut self.step {
            RefreshStep::Idle => self.step = RefreshStep::Queued,
            RefreshStep::Queued => return false,
            RefreshStep::Running { again } => {
                *again = true;
                return false;
            }
        }
        true
    }

    /// Whether the bus must be asked to listen first.
    pub(super) fn begin(&mut self) -> bool {
        self.step = RefreshStep::Running { again: false };
        !self.is_subscribed
    }

    /// Whether it must be read once more.
    pub(super) fn end(&mut self) -> bool {
        std::mem::take(&mut self.step) == RefreshStep::Running { again: true }
    }

    /// Keeps reads away while the bus is told to listen no more; `false` if one is under way.
    pub(super) fn begin_leave(&mut self) -> bool {
        if self.is_idle() {
            *self = Self { is_subscribed: false, step: RefreshStep::Running { again: false } };
            return true;
        }
        false
    }
}
