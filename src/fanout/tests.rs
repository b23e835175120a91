//! The promises to subscribers.

mod delivery;
pub mod house;
mod merge;
