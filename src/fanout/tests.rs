//! What subscribers are promised.

pub mod house;
mod merging;
mod telling;
