//! What subscribers are promised.

mod delivery;
pub mod house;
mod merge;
