//! What a process looks after: all there is, or its share among others.

use std::sync::Arc;

use tokio::sync::watch;

use super::lease::Membership;
use super::rendezvous::Roles;
use super::write_format::WriteFormat;
use crate::domain::session::stored::FORMAT;
use crate::store::partition::Partitions;

/// What a process looks after.
#[derive(Clone)]
pub enum Ownership {
    /// Everything: nobody else sees its sessions.
    All,
    /// Its share, for as long as its lease lasts.
    Shared(Arc<Membership>),
}

impl Ownership {
    /// Where it tells what happens by itself, at this moment.
    #[must_use]
    pub fn roles(&self) -> Roles {
        match self {
            Self::All => Roles { owner: Partitions::ALL, second: Partitions::NONE },
            Self::Shared(membership) => membership.roles(),
        }
    }

    /// Tells when its share becomes another one; never, where it has no share.
    #[must_use]
    pub fn changes(&self) -> Option<watch::Receiver<Roles>> {
        match self {
            Self::All => None,
            Self::Shared(membership) => Some(membership.changes()),
        }
    }

    /// The format of stored sessions to write.
    #[must_use]
    pub fn write_format(&self) -> WriteFormat {
        match self {
            Self::All => WriteFormat::new(FORMAT),
            Self::Shared(membership) => membership.write_format(),
        }
    }
}
