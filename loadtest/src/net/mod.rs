//! Bytes to and from sockets: HTTP/1.1, server-sent events and WebSocket frames.
//!
//! Written by hand, because the driver shares its cores with what it measures: whatever it spends on a delivery is
//! taken from the service.

pub mod chunks;
pub mod frames;
pub mod http;
pub mod lines;
pub mod response;
pub mod socket;
