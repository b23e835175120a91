//! Every shape that enters or leaves the process, kept apart from the rules so
//! that neither changes the other by accident.

pub mod close;
pub mod command;
pub mod conformance;
pub mod create;
pub mod frame;
pub mod history;
pub mod instant;
pub mod problem;
pub mod snapshot;
