//! A Redis that is simulated: what one server holds and does, and how instances reach it.

mod generations;
mod image;
mod leases;
mod outbox;
mod pubsub;
mod server;
mod store;

pub use leases::SimulatedLeases;
pub use outbox::SimulatedOutbox;
pub use pubsub::SimulatedBus;
pub use server::{Flaw, Keeps, Server};
pub use store::SimulatedStore;
