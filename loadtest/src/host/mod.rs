//! This machine: its limits, and what the processes under load take of it.

pub mod cluster;
pub mod limits;
pub mod local;
pub mod meter;
pub mod process;
