//! PostgreSQL servers of a test's own, on free loopback ports: killed, stopped, started again.
//!
//! They run the machine's binaries and touch no server that runs already.
//! `SYNCKAIROS_TEST_POSTGRES_URL` names another for the tests that only need a database.

mod client;
mod disk;
mod installation;
mod role;
mod server;

pub use self::client::{execute, is_ready};
pub use self::installation::find_binary;
pub use self::role::serving;
pub use self::server::Server;
