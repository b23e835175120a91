//! SyncKairos: shared timers for many, served by many. The layers, top to bottom:
//!
//! - [`cli`]: one short file a command
//! - [`server`]: the only place that knows every concrete type
//! - [`http`]: routes and problem documents
//! - [`stream`]: WebSocket, server-sent events and long-poll
//! - [`net`]: sockets and connections, without a route
//! - [`app`]: use cases
//! - [`fanout`]: from the bus to those who watch, inside one instance
//! - [`limits`]: what a subject may have over all instances
//! - [`membership`]: the running instances, and the owner of each partition
//! - [`audit`]: the road from the store to the ledger, over [`jobs`]
//! - [`store`], [`bus`], [`ledger`]: live sessions, frames between instances, lasting SQL
//! - [`breaker`]: a service that does not answer is left alone for a while
//! - [`auth`]: from a token to a proven caller
//! - [`clock`], [`ids`]: where time and identifiers come from
//! - [`conformance`]: runs clock vectors
//! - [`wire`]: every shape that leaves the process
//! - [`domain`]: the rules, pure
//! - [`redis`]: connections to Redis, however it is deployed
//! - [`config`], [`shutdown`], [`telemetry`]: what every room may stand on

pub mod app;
pub mod audit;
pub mod auth;
pub mod breaker;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod domain;
pub mod fanout;
pub mod http;
pub mod ids;
pub mod jobs;
pub mod ledger;
pub mod limits;
pub mod membership;
#[cfg(feature = "mutants")]
mod mutants;
pub mod net;
pub mod redis;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod wire;

#[cfg(test)]
#[path = "../tests/it/harness/redis.rs"]
mod redis_server;
