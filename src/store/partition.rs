//! The 64 partitions of sessions: a session has the same one in every backend, instance and
//! release.

use std::iter::FromIterator;

use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;

/// Never changes: sessions are stored by partition.
pub const PARTITIONS: usize = 64;

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u8);

impl Partition {
    /// The partition of a session, by its full name, so that a tenant's sessions are spread.
    pub fn of(key: &SessionKey) -> Self {
        let digest = Digest::of(key.to_string().as_bytes());
        Self(digest.as_bytes()[0] % 64)
    }

    /// All partitions, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..64).map(Self)
    }

    /// Its number, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Partitions(u64);

impl Partitions {
    /// Every partition.
    pub const ALL: Self = Self(u64::MAX);
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Whether the partition is in the set.
    pub const fn contains(self, partition: Partition) -> bool {
        self.0 & (1 << partition.0) != 0
    }

    /// The set with one more partition.
    pub const fn with(self, partition: Partition) -> Self {
        Self(self.0 | 1 << partition.0)
    }

    /// The union of both.
    pub const fn union(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The set without the others.
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// The intersection of both.
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// The number of partitions in the set.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its partitions, in order.
    pub fn iter(self) -> impl Iterator<Item = Partition> {
        Partition::all().filter(move |partition| self.contains(*partition))
    }
}

impl FromIterator<Partition> for Partitions {
    fn from_iter<I: IntoIterator<Item = Partition>>(each: I) -> Self {
        each.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{SessionId, TenantId};

    fn key(tenant: &str, session: &str) -> SessionKey {
        SessionKey { tenant: TenantId::new(tenant).unwrap(), session: SessionId::new(session).unwrap() }
    }

    #[test]
    fn a_session_has_the_same_partition_in_every_release() {
        let of = |tenant, session| Partition::of(&key(tenant, session)).index();
        assert_eq!([of("acme", "a"), of("acme", "b"), of("beta", "a")], [8, 50, 2]);
    }

    #[test]
    fn sessions_are_spread_whatever_their_names() {
        for name in ["s-", "session:2026-", "00000000-0000-7000-8000-0000"] {
            let mut counts = [0; PARTITIONS];
            for number in 0..6_400 {
                counts[Partition::of(&key("acme", &format!("{name}{number:05}"))).index()] += 1;
            }
            assert!(counts.iter().all(|count| (60..150).contains(count)), "{name}: {counts:?}");
        }
    }

    #[test]
    fn a_set_contains_exactly_its_partitions() {
        let some: Partitions = Partition::all().filter(|partition| partition.index() % 21 == 0).collect();
        assert_eq!(some.iter().map(Partition::index).collect::<Vec<_>>(), [0, 21, 42, 63]);
        let rest = Partitions::ALL.without(some);
        assert_eq!((some.len(), rest.len(), some.and(rest).is_empty()), (4, 60, true));
        assert!(some.iter().all(|partition| !rest.contains(partition) && rest.with(partition).contains(partition)));
    }
}
