//! The control plane: what administrators change while the service runs, in force on every
//! instance within two seconds.
//!
//! The ledger is the truth. A change there has a revision; the instance that made it publishes
//! the revision in Redis, and each renewal of a lease brings it to the others, which read on
//! from their own. Nobody is let in by a token while an instance knows neither ledger nor copy,
//! unless the deployment is new: then nothing was ever changed.

mod copy;
mod current;
mod marker;
mod plane;
mod state;
mod tickets;

pub use self::copy::RedisCopy;
pub use self::current::Current;
pub use self::marker::Marker;
pub use self::plane::{ControlPlane, SharedControl};
pub use self::state::{ControlState, TenantState};
pub use self::tickets::{MemoryTickets, RedisTickets};
