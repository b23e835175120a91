//! Routes, streams, problem documents; axum lives here and in `server` only.

pub mod auth;
pub mod metrics;
