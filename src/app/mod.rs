//! Use cases: what callers ask for, in the words they ask it in.

pub mod counting;
pub mod create;
pub mod deadlines;
pub mod error;
pub mod letters;
pub mod readiness;
pub mod sessions;

mod asked;
mod attendance;
mod commanding;
mod past;
mod remembered;
mod restoring;
mod unknown;
mod writing;

pub use asked::{Answer, Asked, Expected};
pub use past::{Listed, Past};
pub use restoring::Retention;

pub use crate::ledger::Filter;
pub use crate::store::Held;
