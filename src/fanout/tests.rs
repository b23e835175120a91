//! What subscribers are promised.

mod house;
mod merging;
mod telling;
