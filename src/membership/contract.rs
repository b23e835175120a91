//! The contract of leases and of membership, in memory and in Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::memory::MemoryLeases;
use super::redis::RedisLeases;
use super::{Formats, InstanceId, LeaseError, LeaseTimers, Leases, Member, Membership, Renewed, Roles, Subject, Work};
use crate::domain::id::TenantId;
use crate::domain::time::Timestamp;
use crate::redis::{Redis, RedisUrl};
use crate::store::keys::Keys;
use crate::store::partition::Partitions;
use testkit::redis::{Keeps, Server, Trio};

pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Shorter than in production, and long enough for a busy machine.
const TIMERS: LeaseTimers = LeaseTimers { lease: Duration::from_millis(900), renew: Duration::from_millis(150) };

fn member(number: u64, newest: u16) -> Member {
    let formats = Formats { oldest: 1, newest };
    let instance = InstanceId::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let started_at = Timestamp::from_ms(number.cast_signed());
    Member { instance, formats, settings_version: 1, started_at, work: Work::All }
}

pub(crate) fn subject(name: &str) -> Subject {
    Subject::new(&TenantId::new("acme").unwrap(), name)
}

/// A backend of leases, and the server behind it, if there is one.
pub(crate) struct Setup {
    leases: Arc<dyn Leases>,
    pub server: Option<Server>,
}

impl Setup {
    pub fn memory() -> Self {
        Self { leases: Arc::new(MemoryLeases::new(TIMERS.lease)), server: None }
    }

    pub async fn redis() -> Self {
        let server = Server::start(Keeps::Nothing);
        let url = server.url();
        Self { server: Some(server), ..Self::at(&url).await }
    }

    pub async fn at(url: &str) -> Self {
        let redis = Redis::connect(&RedisUrl::new(url, None).unwrap()).await.unwrap();
        Self { leases: Arc::new(RedisLeases::new(redis, Keys::default(), TIMERS.lease)), server: None }
    }

    async fn renew(&self, member: &Member) -> Renewed {
        self.leases.renew(member).await.unwrap()
    }

    pub fn instance(&self, number: u64) -> Instance {
        self.working(number, Work::All)
    }

    fn working(&self, number: u64, work: Work) -> Instance {
        self.run(Member { work, ..member(number, 2) })
    }

    fn run(&self, me: Member) -> Instance {
        let gate = Arc::new(Gate { leases: Arc::clone(&self.leases), is_shut: AtomicBool::new(false) });
        let membership = Arc::new(Membership::new(Arc::clone(&gate) as _, me, TIMERS));
        let renews = Arc::clone(&membership);
        Instance { membership, gate, renewing: tokio::spawn(async move { renews.run().await }) }
    }
}

/// Leases that cannot be reached while the gate is shut.
pub(crate) struct Gate {
    leases: Arc<dyn Leases>,
    pub is_shut: AtomicBool,
}

impl Gate {
    async fn pass(&self) {
        while self.is_shut.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[async_trait]
impl Leases for Gate {
    async fn renew(&self, member: &Member) -> Result<Renewed, LeaseError> {
        self.pass().await;
        self.leases.renew(member).await
    }

    async fn leave(&self, instance: InstanceId) -> Result<Vec<Member>, LeaseError> {
        self.pass().await;
        self.leases.leave(instance).await
    }

    async fn try_acquire(
        &self,
        instance: InstanceId,
        subject: Subject,
        count: u32,
        limit: u32,
    ) -> Result<bool, LeaseError> {
        self.pass().await;
        self.leases.try_acquire(instance, subject, count, limit).await
    }

    async fn publish(&self, instance: InstanceId, counts: &[(Subject, u32)]) -> Result<(), LeaseError> {
        self.pass().await;
        self.leases.publish(instance, counts).await
    }
}

pub(crate) struct Instance {
    pub membership: Arc<Membership>,
    pub gate: Arc<Gate>,
    renewing: JoinHandle<()>,
}

impl Drop for Instance {
    /// As if it were killed.
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Instance {
    pub fn owner(&self) -> Partitions {
        self.membership.roles().owner
    }

    pub async fn until_sees(&self, members: usize) {
        until("others are not seen", || self.membership.is_member() && self.membership.live_members().len() == members)
            .await;
    }
}

async fn until(otherwise: &str, is_so: impl Fn() -> bool) {
    let waited = timeout(TEST_TIMEOUT, async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{otherwise}"));
}

/// Each promise, in memory and in Redis. The caller names [`Setup`].
macro_rules! promises {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Setup::memory()).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Setup::redis().await).await;
            })*
        }
    };
}

pub(crate) use promises;

promises! {
    a_lease_lasts_as_long_as_it_is_renewed
    a_lease_ends_at_once_when_its_member_leaves
    a_renewal_replaces_the_description_of_the_member
    streams_are_counted_over_all_live_members
    publishing_twice_changes_nothing
    members_share_all_partitions_and_replace_the_dead
    each_kind_of_work_is_shared_by_its_instances
    the_last_instance_that_audits_keeps_all_partitions
    a_format_is_written_once_every_lease_can_read_it
    a_stopped_instance_knows_at_once_that_it_owns_nothing
    an_instance_that_cannot_renew_owns_nothing
}

async fn a_lease_lasts_as_long_as_it_is_renewed(setup: Setup) {
    let (one, two) = (member(1, 1), member(2, 1));
    assert!(setup.renew(&one).await.is_new);
    assert!(setup.renew(&two).await.is_new);
    let end = Instant::now() + TIMERS.lease * 2;
    while Instant::now() < end {
        assert!(!setup.renew(&one).await.is_new);
        sleep(TIMERS.renew).await;
    }
    assert_eq!(setup.renew(&one).await.live_members, std::slice::from_ref(&one));
    let back = setup.renew(&two).await;
    assert_eq!((back.is_new, back.live_members.len()), (true, 2));
    assert!(back.live_members.is_sorted_by_key(|member| member.instance));
}

async fn a_lease_ends_at_once_when_its_member_leaves(setup: Setup) {
    let (one, two) = (member(1, 1), member(2, 1));
    setup.renew(&one).await;
    assert_eq!(setup.renew(&two).await.live_members.len(), 2);
    for _ in 0..2 {
        assert_eq!(setup.leases.leave(one.instance).await.unwrap(), std::slice::from_ref(&two));
    }
    assert_eq!(setup.renew(&two).await.live_members, [two]);
}

async fn a_renewal_replaces_the_description_of_the_member(setup: Setup) {
    let one = member(1, 1);
    setup.renew(&one).await;
    let later = Member { settings_version: 9, ..one };
    assert_eq!(setup.renew(&later).await, Renewed { live_members: vec![later], is_new: false, control_revision: None });
}

async fn streams_are_counted_over_all_live_members(setup: Setup) {
    let (one, two) = (member(1, 1), member(2, 1));
    setup.renew(&one).await;
    setup.renew(&two).await;
    let hold =
        async |member: &Member, count| setup.leases.try_acquire(member.instance, subject("x"), count, 3).await.unwrap();
    assert!(hold(&one, 2).await && hold(&two, 1).await);
    assert!(!hold(&two, 2).await && !hold(&one, 3).await);
    // A refused count is not published.
    assert!(hold(&one, 2).await);
    assert!(setup.leases.try_acquire(two.instance, subject("y"), 3, 3).await.unwrap());
    setup.leases.publish(one.instance, &[(subject("x"), 0), (subject("y"), 1)]).await.unwrap();
    assert!(hold(&two, 3).await);
    assert!(!setup.leases.try_acquire(two.instance, subject("y"), 3, 3).await.unwrap());
    setup.leases.leave(one.instance).await.unwrap();
    assert!(setup.leases.try_acquire(two.instance, subject("y"), 3, 3).await.unwrap());
}

async fn publishing_twice_changes_nothing(setup: Setup) {
    let (one, two) = (member(1, 1), member(2, 1));
    setup.renew(&one).await;
    setup.renew(&two).await;
    for _ in 0..2 {
        assert!(setup.leases.try_acquire(one.instance, subject("x"), 1, 2).await.unwrap());
        setup.leases.publish(one.instance, &[(subject("x"), 1)]).await.unwrap();
    }
    assert!(setup.leases.try_acquire(two.instance, subject("x"), 1, 2).await.unwrap());
}

async fn members_share_all_partitions_and_replace_the_dead(setup: Setup) {
    let mut instances: Vec<_> = (1..=3).map(|number| setup.instance(number)).collect();
    for instance in &instances {
        instance.until_sees(3).await;
    }
    let counts: Vec<_> = instances.iter().map(|instance| instance.owner().len()).collect();
    assert_eq!(counts.iter().sum::<u32>(), 64, "{counts:?}");
    let dead = instances.remove(0);
    let (owned, owners) = (dead.owner(), instances.iter().map(Instance::owner).collect::<Vec<_>>());
    let second = instances.iter().fold(Partitions::NONE, |all, each| all.union(each.membership.roles().second));
    assert!(owned.without(second).is_empty(), "a partition of the dead has no second");
    drop(dead);
    let died = Instant::now();
    for instance in &instances {
        instance.until_sees(2).await;
    }
    println!("taken over after {:?}", died.elapsed());
    let all = instances.iter().fold(Partitions::NONE, |all, each| all.union(each.owner()));
    assert_eq!(all, Partitions::ALL);
    for (instance, before) in instances.iter().zip(owners) {
        assert!(before.without(instance.owner()).is_empty(), "a live member loses a partition");
        assert_eq!(*instance.membership.audited().borrow(), instance.owner());
    }
}

async fn each_kind_of_work_is_shared_by_its_instances(setup: Setup) {
    let (all, serving) = (setup.instance(1), setup.working(2, Work::Serving));
    let auditing = setup.working(3, Work::Auditing);
    for instance in [&all, &serving, &auditing] {
        instance.until_sees(3).await;
    }
    let audited = |instance: &Instance| *instance.membership.audited().borrow();
    assert_eq!((all.owner().union(serving.owner()), auditing.owner()), (Partitions::ALL, Partitions::NONE));
    assert_eq!((audited(&all).union(audited(&auditing)), audited(&serving)), (Partitions::ALL, Partitions::NONE));
    assert!(audited(&all).and(audited(&auditing)).is_empty() && all.owner().and(serving.owner()).is_empty());
}

async fn the_last_instance_that_audits_keeps_all_partitions(setup: Setup) {
    let (one, two) = (setup.instance(1), setup.instance(2));
    let serving = setup.working(3, Work::Serving);
    for instance in [&one, &two, &serving] {
        instance.until_sees(3).await;
    }
    for (instance, left) in [(&one, Partitions::NONE), (&two, Partitions::ALL)] {
        instance.renewing.abort();
        instance.membership.leave().await.unwrap();
        assert_eq!((instance.membership.roles(), *instance.membership.audited().borrow()), (Roles::default(), left));
    }
}

async fn a_format_is_written_once_every_lease_can_read_it(setup: Setup) {
    let (one, older) = (setup.run(member(1, 3)), setup.run(member(2, 2)));
    let format = one.membership.write_format();
    assert_eq!(format.get(), 1, "it is no member yet");
    one.until_sees(2).await;
    assert_eq!(format.get(), 2);
    drop(older);
    one.until_sees(1).await;
    assert_eq!(format.get(), 3);
}

async fn a_stopped_instance_knows_at_once_that_it_owns_nothing(setup: Setup) {
    let one = setup.instance(1);
    one.until_sees(1).await;
    assert_eq!(one.owner(), Partitions::ALL);
    // Blocks the whole runtime, as if the process were stopped.
    std::thread::sleep(TIMERS.lease + TIMERS.renew);
    assert_eq!((one.membership.roles(), one.membership.is_member()), (Roles::default(), false));
    one.until_sees(1).await;
    assert_eq!(one.owner(), Partitions::ALL);
}

async fn an_instance_that_cannot_renew_owns_nothing(setup: Setup) {
    let one = setup.instance(1);
    one.until_sees(1).await;
    let mut owned = one.membership.audited();
    owned.mark_unchanged();
    one.gate.is_shut.store(true, Ordering::Relaxed);
    timeout(TEST_TIMEOUT, owned.changed()).await.expect("it owns on").unwrap();
    assert_eq!((*owned.borrow_and_update(), one.membership.roles()), (Partitions::NONE, Roles::default()));
    assert_eq!(one.membership.write_format().get(), 1);
    one.gate.is_shut.store(false, Ordering::Relaxed);
    timeout(TEST_TIMEOUT, owned.changed()).await.expect("it never owns again").unwrap();
    assert_eq!(one.owner(), Partitions::ALL);
}

/// What only Redis can be put through.
#[tokio::test]
async fn a_lease_that_another_clock_made_too_long_ends_in_time() {
    let setup = Setup::redis().await;
    let (one, dead) = (member(1, 1), member(2, 1));
    setup.renew(&dead).await;
    let far = (i64::MAX >> 12).to_string();
    setup.server.as_ref().unwrap().say(&["ZADD", "sk:{members}:leases", &far, &dead.instance.to_string()]);
    let ended = timeout(TEST_TIMEOUT, async {
        while setup.renew(&one).await.live_members.len() > 1 {
            sleep(TIMERS.renew).await;
        }
    });
    ended.await.expect("the dead live on");
}

#[tokio::test]
async fn an_invalid_lease_ends_no_other() {
    let setup = Setup::redis().await;
    let one = member(1, 1);
    setup.renew(&one).await;
    setup.server.as_ref().unwrap().say(&["HSET", "sk:{members}:members", "x", "no member"]);
    setup.server.as_ref().unwrap().say(&["ZADD", "sk:{members}:leases", &(i64::MAX >> 12).to_string(), "x"]);
    assert_eq!(setup.renew(&one).await, Renewed { live_members: vec![one], is_new: false, control_revision: None });
}

#[tokio::test]
async fn in_a_cluster_leases_and_streams_share_a_slot() {
    let trio = Trio::start();
    streams_are_counted_over_all_live_members(Setup::at(&trio.url()).await).await;
}
