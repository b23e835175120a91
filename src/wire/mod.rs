//! Every shape that enters or leaves the process, kept apart from the rules so
//! that neither changes the other by accident.

pub mod api_error;
pub mod change;
pub mod close;
pub mod command;
pub mod create;
pub mod error_code;
pub mod frame;
pub mod history;
pub mod instant;
pub mod json;
pub mod problem;
pub mod sealed;
pub mod snapshot;
pub mod status;

mod allowed;
mod control;
mod typed;
