//! SyncKairos: shared timers, served by many instances. The layers, top to bottom:
//!
//! - [`cli`]: one file for each command
//! - [`server`]: the composition root, which knows every concrete type
//! - [`http`]: routes and problem documents
//! - [`stream`]: WebSocket, server-sent events and long-poll
//! - [`net`]: sockets and connections, without a route
//! - [`app`]: use cases
//! - [`fanout`]: from the bus to subscribers, inside one instance
//! - [`addresses`]: from where callers may come
//! - [`limits`]: how much a caller, a tenant and a session may have
//! - [`security`]: the log of what was refused, limited, revoked and changed
//! - [`control`]: settings and revocations, changed while the service runs
//! - [`membership`]: live instances, and the partitions that each owns
//! - [`audit`]: drains the outbox of the store to the ledger, over [`jobs`]
//! - [`store`], [`bus`], [`ledger`]: live sessions, frames between instances, lasting SQL
//! - [`breaker`]: circuit breakers
//! - [`auth`]: from a token to a proven caller
//! - [`clock`], [`ids`]: where time and identifiers come from
//! - [`conformance`]: runs clock vectors
//! - [`wire`]: every shape that leaves the process
//! - [`domain`]: the rules, pure
//! - [`redis`]: connections to Redis, however it is deployed
//! - [`config`], [`shutdown`], [`telemetry`]: below every room

pub mod addresses;
pub mod app;
pub mod audit;
pub mod auth;
pub mod breaker;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod control;
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
pub mod security;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod wire;
