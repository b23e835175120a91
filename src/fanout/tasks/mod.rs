//! What runs beside the subscribers: one task for each kind of work.

pub(super) mod events;
pub(super) mod housekeeping;
pub(super) mod refresh;
pub(super) mod wake;
pub(super) mod warnings;
