//! SyncKairos: shared timers for many, served by many. The layers, top to bottom:
//!
//! - [`cli`]: one short file a command
//! - [`server`]: the only place that knows every concrete type
//! - [`http`]: routes, streams, problem documents
//! - [`app`]: use cases
//! - [`fanout`]: from the bus to those who watch, inside one instance
//! - [`members`]: who is running, and who looks after what
//! - [`audit`]: the road from the store to the ledger, over [`jobs`]
//! - [`store`], [`bus`], [`ledger`]: live sessions, frames between instances, lasting SQL
//! - [`breaker`]: who does not answer is not asked again and again
//! - [`auth`]: from a token to a proven caller
//! - [`clock`], [`ids`]: where time and identifiers come from
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
pub mod domain;
pub mod fanout;
pub mod http;
pub mod ids;
pub mod jobs;
pub mod ledger;
pub mod members;
#[cfg(feature = "mutants")]
mod mutants;
pub mod redis;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod wire;

#[cfg(test)]
use testkit::redis as redis_server;
