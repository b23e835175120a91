//! The partitions that a process owns: all of them, or its share among others.

use std::sync::Arc;

use tokio::sync::watch;

use super::lease::Membership;
use super::partition_owner::Roles;
use super::write_format::WriteFormat;
use crate::domain::session::stored::FORMAT;
use crate::store::partition::Partitions;

/// The partitions that a process owns.
#[derive(Clone)]
pub enum Ownership {
    /// All: no other process has its sessions.
    All,
    /// Its share, while its lease is valid.
    Shared(Arc<Membership>),
}

impl Ownership {
    /// Its roles at this moment.
    pub fn roles(&self) -> Roles {
        match self {
            Self::All => Roles { owner: Partitions::ALL, second: Partitions::NONE },
            Self::Shared(membership) => membership.roles(),
        }
    }

    /// Changes with its share; none, where it owns all.
    pub fn changes(&self) -> Option<watch::Receiver<Roles>> {
        match self {
            Self::All => None,
            Self::Shared(membership) => Some(membership.changes()),
        }
    }

    /// The format of stored sessions to write.
    pub fn write_format(&self) -> WriteFormat {
        match self {
            Self::All => WriteFormat::new(FORMAT),
            Self::Shared(membership) => membership.write_format(),
        }
    }
}
