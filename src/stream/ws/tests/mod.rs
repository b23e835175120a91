//! WebSockets as clients see them, over a real listener.

mod ending;
mod following;
mod saying;
mod served;
