//! Redis servers of a test's own: on free loopback ports, in folders of their own, killed
//! when dropped. A test may do to them what happens to Redis at its worst.
//!
//! `SYNCKAIROS_TEST_REDIS_URL` may name one that is there already; it is emptied by every
//! test that asks for it, one at a time.

mod cluster;
mod external;
mod protocol;
mod server;
mod tls;

pub use self::cluster::{Trio, form_cluster};
pub use self::external::{Named, named};
pub use self::protocol::answers;
pub use self::server::{Keeps, Server};
pub use self::tls::Secret;
