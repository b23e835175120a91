//! SyncKairos: shared timers for many, served by many. The layers, top to bottom:
//!
//! - [`cli`]: one short file a command
//! - [`server`]: the only place that knows every concrete type
//! - [`http`]: routes, streams, problem documents
//! - [`app`]: use cases
//! - [`fanout`]: from the bus to those who watch, inside one instance
//! - [`audit`]: the road from the store to the ledger, over [`jobs`]
//! - [`store`], [`bus`], [`ledger`]: live sessions, frames between instances, lasting SQL
//! - [`clock`], [`ids`]: where time and identifiers come from
//! - [`wire`]: every shape that leaves the process
//! - [`domain`]: the rules, pure

pub mod audit;
pub mod domain;
pub mod jobs;
pub mod ledger;
pub mod store;
