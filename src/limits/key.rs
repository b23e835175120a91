//! Whose bucket a request is counted in.
//!
//! A key is a keyed hash, so it has one size, costs no allocation, names nobody, and no
//! caller can choose one that collides with another's.

use std::hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};

use crate::domain::principal::Principal;

/// A caller, as limits know it.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// Whom a valid token proves.
    Principal(&'a Principal),
    /// Whoever has shown none, by where it calls from.
    Address(IpAddr),
}

/// A caller's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(u128);

/// Makes keys, with a secret of this process.
#[derive(Debug, Default)]
pub(super) struct KeyHasher([RandomState; 2]);

impl KeyHasher {
    /// The bucket of a caller. A token that another subject requested is not that subject.
    pub(super) fn key(&self, caller: Caller<'_>) -> Key {
        match caller {
            Caller::Principal(of) => self.hash(&(&of.tenant, &of.subject, &of.provenance.made_by)),
            Caller::Address(address) => self.hash(&network(address)),
        }
    }

    fn hash(&self, of: &impl Hash) -> Key {
        let [high, low] = self.0.each_ref().map(|state| u128::from(state.hash_one(of)));
        Key(high << 64 | low)
    }
}

/// An IPv4 address, or the /64 of an IPv6 one: whoever has one address of it has all of them.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

impl Key {
    /// One of `count` parts of a map.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is smaller than `count`")]
    pub(super) const fn shard(self, count: usize) -> usize {
        ((self.0 >> 96) % count as u128) as usize
    }
}

/// Keys are hashes already.
#[derive(Debug, Default)]
pub(super) struct AsIs(u64);

/// Builds [`AsIs`].
pub(super) type BuildAsIs = BuildHasherDefault<AsIs>;

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::principal;

    #[test]
    fn callers_have_a_bucket_each() {
        let hasher = KeyHasher::default();
        let (ann, bob, other) = (principal("acme", "ann"), principal("acme", "bob"), principal("other", "ann"));
        let mut made = ann.clone();
        made.provenance.made_by = Some("op".to_owned());
        let keys = [&ann, &bob, &other, &made].map(|of| hasher.key(Caller::Principal(of)));
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key), "{place}");
        }
        assert_eq!(hasher.key(Caller::Principal(&ann.clone())), keys[0]);
    }

    #[test]
    fn an_ipv6_address_counts_by_its_64() {
        let hasher = KeyHasher::default();
        let key = |text: &str| hasher.key(Caller::Address(text.parse().unwrap()));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("10.0.0.1"), key("::ffff:10.0.0.1"));
        assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
    }
}
