//! Tickets: each opens one stream in place of a token, so that no token need stand in an address.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;

/// A ticket and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its text, which nobody can guess.
    pub text: String,
    /// When it ends, though nobody has used it.
    pub expires_at: Timestamp,
}

/// The tickets cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("failed to reach the tickets")]
pub struct TicketError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Tickets of all instances.
#[async_trait]
pub trait Tickets: Send + Sync {
    /// A ticket for `principal`, good once and for a short time.
    async fn issue(&self, principal: &Principal, now: Timestamp) -> Result<Ticket, TicketError>;

    /// Uses a ticket up: whom it was issued to, if it is good.
    async fn redeem(&self, ticket: &str, now: Timestamp) -> Result<Option<Arc<Principal>>, TicketError>;
}
