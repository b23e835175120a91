//! Background work in batches, in order, until each job is done or a dead letter.
//!
//! A job may be attempted twice, as another worker repeats what a dead one had begun. So an
//! attempt must be idempotent.
//!
//! apalis is only the runner: its worker polls for batches and runs them one at a time. Retry,
//! back-off, panic guard and dead letters are ours: its layers know whole batches, and a
//! refused batch must be halved until the refused job is found.

mod apalis;
mod policy;
mod retry;
mod work;

pub use self::apalis::run;
pub use self::policy::{Backoff, RetryPolicy};
pub use self::work::{BatchWork, Failure, Source};
