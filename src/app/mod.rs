//! Use cases: what callers ask for, in the words they ask it in.

pub mod administration;
pub mod command_metrics;
pub mod create;
pub mod dead_letters;
pub mod deadlines;
pub mod error;
pub mod readiness;
pub mod sessions;

mod commit;
mod execute;
mod history;
mod idle;
mod negative_cache;
mod request;
mod restore;
mod session_cache;
mod sweeper;

pub use history::{History, SessionPage};
pub use request::{CommandRequest, CommandResult, Precondition};
pub use restore::Retention;

pub use crate::ledger::Filter;
pub use crate::ledger::control::SecurityFilter;
pub use crate::store::StoredSession;
