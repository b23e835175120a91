//! Rendezvous hashing: the owner of each partition. Instances that see the same members
//! compute the same owners, without asking each other.

use crate::domain::chain::Digest;
use crate::store::partition::{Partition, Partitions};

use super::member::InstanceId;

/// The partitions of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles {
    /// It acts first here.
    pub owner: Partitions,
    /// It acts here a little later, if the owner has not.
    pub second: Partitions,
}

/// The roles of `me` among the `live` instances.
///
/// Every pair of an instance and a partition has a weight; the heaviest instance owns
/// the partition, the next is its second. So when a member leaves, only what it owned
/// changes hands, and each second becomes the owner.
pub fn roles(me: InstanceId, live: &[InstanceId]) -> Roles {
    Partition::all().fold(Roles::default(), |roles, partition| {
        let own = weight(me, partition);
        let heavier = live.iter().filter(|other| **other != me && weight(**other, partition) > own).count();
        match heavier {
            _ if !live.contains(&me) => roles,
            0 => Roles { owner: roles.owner.with(partition), ..roles },
            1 => Roles { second: roles.second.with(partition), ..roles },
            _ => roles,
        }
    })
}

/// No two instances weigh the same: the id decides.
fn weight(instance: InstanceId, partition: Partition) -> (Digest, InstanceId) {
    (Digest::of(format!("{instance} {}", partition.index()).as_bytes()), instance)
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::*;

    fn all(live: &[InstanceId]) -> Vec<Roles> {
        live.iter().map(|member| roles(*member, live)).collect()
    }

    fn sum(parts: impl Iterator<Item = Partitions>) -> (Partitions, u32) {
        parts.fold((Partitions::NONE, 0), |(all, count), part| (all.union(part), count + part.len()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_partition_has_one_owner_and_another_second(ids in btree_set(any::<u64>(), 2..8)) {
            let live: Vec<_> = ids.into_iter().map(InstanceId::new).collect();
            let roles = all(&live);
            assert_eq!(sum(roles.iter().map(|roles| roles.owner)), (Partitions::ALL, 64));
            assert_eq!(sum(roles.iter().map(|roles| roles.second)), (Partitions::ALL, 64));
            assert!(roles.iter().all(|roles| roles.owner.and(roles.second).is_empty()));
        }

        #[test]
        fn a_leaving_members_partitions_move_to_their_seconds(ids in btree_set(any::<u64>(), 2..8)) {
            let live: Vec<_> = ids.into_iter().map(InstanceId::new).collect();
            let (left, stay) = live.split_first().unwrap();
            let gone = roles(*left, &live).owner;
            for member in stay {
                let (before, after) = (roles(*member, &live), roles(*member, stay));
                assert_eq!(after.owner, before.owner.union(before.second.and(gone)));
            }
        }
    }

    #[test]
    fn a_lone_instance_owns_all_and_an_absent_one_nothing() {
        let [one, two] = [1, 2].map(InstanceId::new);
        assert_eq!(roles(one, &[one]), Roles { owner: Partitions::ALL, second: Partitions::NONE });
        assert_eq!(roles(one, &[two]), Roles::default());
        assert_eq!(roles(one, &[]), Roles::default());
    }

    #[test]
    fn partitions_are_spread_over_members() {
        for members in [2, 3, 5_u32] {
            let of = |seed: u64| {
                let id = |member| InstanceId::new((seed * 8 + u64::from(member)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let live: Vec<_> = (0..members).map(id).collect();
                all(&live).iter().map(|roles| roles.owner.len()).collect::<Vec<_>>()
            };
            let owned: Vec<_> = (0..200).map(of).collect();
            let (each, total) = (64 / members, owned.iter().map(|counts| counts[0]).sum::<u32>());
            assert!(total.abs_diff(each * 200) < each * 20, "{members}: {total}");
            assert!(owned.iter().flatten().all(|count| (each / 5..each * 2 + 8).contains(count)), "{members}");
        }
    }
}
