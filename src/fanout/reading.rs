//! How reading the source stands for one session: one read at a time, and another
//! after it if something came up meanwhile.

#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The bus was asked to listen.
    pub(super) is_listening: bool,
    step: Step,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    #[default]
    Idle,
    Queued,
    Running {
        /// Something happened that this read may not have seen.
        again: bool,
    },
}

impl Reading {
    pub(super) fn is_idle(&self) -> bool {
        self.step == Step::Idle
    }

    /// Whether the read under way may have missed something.
    pub(super) fn is_outdated(&self) -> bool {
        self.step == Step::Running { again: true }
    }

    /// Has it read soon, or once more. Whether it must be put in line for that.
    pub(super) fn request(&mut self) -> bool {
        match &mut self.step {
            Step::Idle => self.step = Step::Queued,
            Step::Queued => return false,
            Step::Running { again } => {
                *again = true;
                return false;
            }
        }
        true
    }

    /// Whether the bus must be asked to listen first.
    pub(super) fn begin(&mut self) -> bool {
        self.step = Step::Running { again: false };
        !self.is_listening
    }

    /// Whether it must be read once more.
    pub(super) fn end(&mut self) -> bool {
        std::mem::take(&mut self.step) == Step::Running { again: true }
    }

    /// Keeps reads away while the bus is told to listen no more; `false` if one is under way.
    pub(super) fn begin_leave(&mut self) -> bool {
        if self.is_idle() {
            *self = Self { is_listening: false, step: Step::Running { again: false } };
            return true;
        }
        false
    }
}
