//! A Redis that is simulated: what one server holds and does, and how instances reach it.

mod ear;
mod image;
mod leases;
mod lives;
mod outbox;
mod server;
mod store;

pub use ear::SimulatedBus;
pub use leases::SimulatedLeases;
pub use outbox::SimulatedOutbox;
pub use server::{Flaw, Keeps, Server};
pub use store::SimulatedStore;
