//! Connections to Redis, however it is deployed: what every room that speaks to it stands
//! on. No key is known here.
//!
//! The client library never sends anything twice: an error or a time-out leaves open
//! what became of a command, and only its sender knows whether a repeat is safe.

mod address;
mod capacity;
mod client;
mod connection;
mod error;
mod keepalive;
mod last_error;
mod pubsub;
mod script;

pub use self::address::{InvalidAddress, RedisUrl};
pub use self::capacity::Capacity;
pub use self::connection::Redis;
pub use self::error::RedisError;
pub use self::pubsub::{PubSub, PubSubEvent};
pub use self::script::{Argument, Reply, Script};
