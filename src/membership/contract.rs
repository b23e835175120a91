//! The promise of leases, and what rests on them, in memory and in Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::memory::MemoryLeases;
use super::redis::RedisLeases;
use super::{
    Formats, InstanceId, LeaseError, LeaseTimers, Leases, Member, Membership, QuotaExceeded, Renewed, Roles,
    StreamPermit, StreamQuota, Subject, Work,
};
use crate::domain::id::TenantId;
use crate::domain::time::Timestamp;
use crate::redis::{Address, Redis};
use crate::redis_server::{Keeps, Server, Trio};
use crate::store::keys::Keys;
use crate::store::partition::Partitions;

const TEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Shorter than outside, and long enough for a busy machine.
const SPANS: LeaseTimers = LeaseTimers { lease: Duration::from_millis(900), renew: Duration::from_millis(150) };

fn member(number: u64, newest: u16) -> Member {
    let formats = Formats { oldest: 1, newest };
    let instance = InstanceId::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let started_at = Timestamp::from_ms(number.cast_signed());
    Member { instance, formats, settings_version: 1, started_at, work: Work::All }
}

fn subject(name: &str) -> Subject {
    Subject::new(&TenantId::new("acme").unwrap(), name)
}

/// Where leases are, and the server behind them, if there is one.
struct House {
    leases: Arc<dyn Leases>,
    server: Option<Server>,
}

impl House {
    fn memory() -> Self {
        Self { leases: Arc::new(MemoryLeases::new(SPANS.lease)), server: None }
    }

    async fn redis() -> Self {
        let server = Server::start(Keeps::Nothing);
        let url = server.url();
        Self { server: Some(server), ..Self::at(&url).await }
    }

    async fn at(url: &str) -> Self {
        let redis = Redis::connect(&Address::new(url, None).unwrap()).await.unwrap();
        Self { leases: Arc::new(RedisLeases::new(redis, Keys::default(), SPANS.lease)), server: None }
    }

    async fn renew(&self, member: &Member) -> Renewed {
        self.leases.renew(member).await.unwrap()
    }

    fn instance(&self, number: u64) -> Instance {
        self.doing(number, Work::All)
    }

    fn doing(&self, number: u64, work: Work) -> Instance {
        self.run(Member { work, ..member(number, 2) })
    }

    fn run(&self, me: Member) -> Instance {
        let gate = Arc::new(Gate { leases: Arc::clone(&self.leases), is_shut: AtomicBool::new(false) });
        let leases: Arc<dyn Leases> = Arc::clone(&gate) as _;
        let membership = Arc::new(Membership::new(Arc::clone(&leases), me, SPANS));
        let places = StreamQuota::new(leases, Arc::clone(&membership));
        let (renews, tells) = (Arc::clone(&membership), Arc::clone(&places));
        let running = [tokio::spawn(async move { renews.run().await }), tokio::spawn(async move { tells.run().await })];
        Instance { membership, places, running, gate }
    }
}

/// Leases that cannot be reached while it is shut.
struct Gate {
    leases: Arc<dyn Leases>,
    is_shut: AtomicBool,
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

struct Instance {
    membership: Arc<Membership>,
    places: Arc<StreamQuota>,
    running: [JoinHandle<()>; 2],
    gate: Arc<Gate>,
}

impl Drop for Instance {
    /// As if it were killed.
    fn drop(&mut self) {
        self.running.iter().for_each(JoinHandle::abort);
    }
}

impl Instance {
    fn owner(&self) -> Partitions {
        self.membership.roles().owner
    }

    async fn until_sees(&self, members: usize) {
        until("others are not seen", || self.membership.is_member() && self.membership.live_members().len() == members)
            .await;
    }

    async fn entered(&self, name: &str, limit: u32) -> StreamPermit {
        let entered = timeout(TEST_TIMEOUT, async {
            loop {
                match self.places.acquire(subject(name), limit).await {
                    Ok(place) => return place,
                    Err(QuotaExceeded::Full) => sleep(Duration::from_millis(10)).await,
                    Err(other) => panic!("{other}"),
                }
            }
        });
        entered.await.expect("there is never a place")
    }

    async fn is_full(&self, name: &str, limit: u32) -> bool {
        matches!(self.places.acquire(subject(name), limit).await, Err(QuotaExceeded::Full))
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

/// Each promise, in memory and in Redis.
macro_rules! promises {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::House::memory()).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::House::redis().await).await;
            })*
        }
    };
}

promises! {
    a_lease_lasts_as_long_as_it_is_renewed
    a_lease_that_is_left_ends_at_once
    what_a_member_says_of_itself_is_replaced
    streams_are_counted_over_all_members_whose_leases_last
    telling_twice_changes_nothing
    members_share_all_partitions_and_take_over_from_the_dead
    each_kind_of_work_is_shared_by_those_who_do_it
    the_last_who_audits_is_left_with_all_of_it
    a_format_is_written_once_every_lease_can_read_it
    who_stood_still_knows_at_once_that_it_owns_nothing
    who_cannot_renew_owns_nothing_until_it_can
    streams_of_the_dead_count_no_more
    a_place_that_is_given_up_is_free
    places_are_never_more_than_there_may_be
}

async fn a_lease_lasts_as_long_as_it_is_renewed(house: House) {
    let (one, two) = (member(1, 1), member(2, 1));
    assert!(house.renew(&one).await.is_new);
    assert!(house.renew(&two).await.is_new);
    let end = Instant::now() + SPANS.lease * 2;
    while Instant::now() < end {
        assert!(!house.renew(&one).await.is_new);
        sleep(SPANS.renew).await;
    }
    assert_eq!(house.renew(&one).await.live_members, std::slice::from_ref(&one));
    let back = house.renew(&two).await;
    assert_eq!((back.is_new, back.live_members.len()), (true, 2));
    assert!(back.live_members.is_sorted_by_key(|member| member.instance));
}

async fn a_lease_that_is_left_ends_at_once(house: House) {
    let (one, two) = (member(1, 1), member(2, 1));
    house.renew(&one).await;
    assert_eq!(house.renew(&two).await.live_members.len(), 2);
    for _ in 0..2 {
        assert_eq!(house.leases.leave(one.instance).await.unwrap(), std::slice::from_ref(&two));
    }
    assert_eq!(house.renew(&two).await.live_members, [two]);
}

async fn what_a_member_says_of_itself_is_replaced(house: House) {
    let one = member(1, 1);
    house.renew(&one).await;
    let later = Member { settings_version: 9, ..one };
    assert_eq!(house.renew(&later).await, Renewed { live_members: vec![later], is_new: false });
}

async fn streams_are_counted_over_all_members_whose_leases_last(house: House) {
    let (one, two) = (member(1, 1), member(2, 1));
    house.renew(&one).await;
    house.renew(&two).await;
    let hold =
        async |member: &Member, count| house.leases.try_acquire(member.instance, subject("x"), count, 3).await.unwrap();
    assert!(hold(&one, 2).await && hold(&two, 1).await);
    assert!(!hold(&two, 2).await && !hold(&one, 3).await);
    // What was refused was not told.
    assert!(hold(&one, 2).await);
    assert!(house.leases.try_acquire(two.instance, subject("y"), 3, 3).await.unwrap());
    house.leases.publish(one.instance, &[(subject("x"), 0), (subject("y"), 1)]).await.unwrap();
    assert!(hold(&two, 3).await);
    assert!(!house.leases.try_acquire(two.instance, subject("y"), 3, 3).await.unwrap());
    house.leases.leave(one.instance).await.unwrap();
    assert!(house.leases.try_acquire(two.instance, subject("y"), 3, 3).await.unwrap());
}

async fn telling_twice_changes_nothing(house: House) {
    let (one, two) = (member(1, 1), member(2, 1));
    house.renew(&one).await;
    house.renew(&two).await;
    for _ in 0..2 {
        assert!(house.leases.try_acquire(one.instance, subject("x"), 1, 2).await.unwrap());
        house.leases.publish(one.instance, &[(subject("x"), 1)]).await.unwrap();
    }
    assert!(house.leases.try_acquire(two.instance, subject("x"), 1, 2).await.unwrap());
}

async fn members_share_all_partitions_and_take_over_from_the_dead(house: House) {
    let mut living: Vec<_> = (1..=3).map(|number| house.instance(number)).collect();
    for instance in &living {
        instance.until_sees(3).await;
    }
    let counts: Vec<_> = living.iter().map(|instance| instance.owner().len()).collect();
    assert_eq!(counts.iter().sum::<u32>(), 64, "{counts:?}");
    let dead = living.remove(0);
    let (owned, owners) = (dead.owner(), living.iter().map(Instance::owner).collect::<Vec<_>>());
    let second = living.iter().fold(Partitions::NONE, |all, each| all.union(each.membership.roles().second));
    assert!(owned.without(second).is_empty(), "nobody stands by for the one that dies");
    drop(dead);
    let died = Instant::now();
    for instance in &living {
        instance.until_sees(2).await;
    }
    println!("taken over after {:?}", died.elapsed());
    let all = living.iter().fold(Partitions::NONE, |all, each| all.union(each.owner()));
    assert_eq!(all, Partitions::ALL);
    for (instance, before) in living.iter().zip(owners) {
        assert!(before.without(instance.owner()).is_empty(), "what was owned stays owned");
        assert_eq!(*instance.membership.audited().borrow(), instance.owner());
    }
}

async fn each_kind_of_work_is_shared_by_those_who_do_it(house: House) {
    let (all, serving) = (house.instance(1), house.doing(2, Work::Serving));
    let auditing = house.doing(3, Work::Auditing);
    for instance in [&all, &serving, &auditing] {
        instance.until_sees(3).await;
    }
    let audited = |instance: &Instance| *instance.membership.audited().borrow();
    assert_eq!((all.owner().union(serving.owner()), auditing.owner()), (Partitions::ALL, Partitions::NONE));
    assert_eq!((audited(&all).union(audited(&auditing)), audited(&serving)), (Partitions::ALL, Partitions::NONE));
    assert!(audited(&all).and(audited(&auditing)).is_empty() && all.owner().and(serving.owner()).is_empty());
}

async fn the_last_who_audits_is_left_with_all_of_it(house: House) {
    let (one, two) = (house.instance(1), house.instance(2));
    let serving = house.doing(3, Work::Serving);
    for instance in [&one, &two, &serving] {
        instance.until_sees(3).await;
    }
    for (instance, left) in [(&one, Partitions::NONE), (&two, Partitions::ALL)] {
        instance.running[0].abort();
        instance.membership.leave().await.unwrap();
        assert_eq!((instance.membership.roles(), *instance.membership.audited().borrow()), (Roles::default(), left));
    }
}

async fn a_format_is_written_once_every_lease_can_read_it(house: House) {
    let (one, older) = (house.run(member(1, 3)), house.run(member(2, 2)));
    let format = one.membership.write_format();
    assert_eq!(format.get(), 1, "it is no member yet");
    one.until_sees(2).await;
    assert_eq!(format.get(), 2);
    drop(older);
    one.until_sees(1).await;
    assert_eq!(format.get(), 3);
}

async fn who_stood_still_knows_at_once_that_it_owns_nothing(house: House) {
    let one = house.instance(1);
    one.until_sees(1).await;
    assert_eq!(one.owner(), Partitions::ALL);
    // Nothing of this process runs meanwhile, as if it were stopped.
    std::thread::sleep(SPANS.lease + SPANS.renew);
    assert_eq!((one.membership.roles(), one.membership.is_member()), (Roles::default(), false));
    one.until_sees(1).await;
    assert_eq!(one.owner(), Partitions::ALL);
}

async fn who_cannot_renew_owns_nothing_until_it_can(house: House) {
    let one = house.instance(1);
    one.until_sees(1).await;
    let mut owned = one.membership.audited();
    owned.mark_unchanged();
    one.gate.is_shut.store(true, Ordering::Relaxed);
    timeout(TEST_TIMEOUT, owned.changed()).await.expect("it owns on").unwrap();
    assert_eq!((*owned.borrow_and_update(), one.membership.roles()), (Partitions::NONE, Roles::default()));
    assert_eq!(one.membership.write_format().get(), 1);
    assert!(matches!(one.places.acquire(subject("x"), 1).await, Err(QuotaExceeded::NoMember)));
    let _admitted = one.places.acquire_unchecked(subject("x"));
    one.gate.is_shut.store(false, Ordering::Relaxed);
    timeout(TEST_TIMEOUT, owned.changed()).await.expect("it never owns again").unwrap();
    assert_eq!(one.owner(), Partitions::ALL);
    let two = house.instance(2);
    two.until_sees(2).await;
    until_full(&two, "x", 1).await;
}

/// What was told late is counted.
async fn until_full(instance: &Instance, name: &str, limit: u32) {
    let waited = timeout(TEST_TIMEOUT, async {
        while !instance.is_full(name, limit).await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it is never told");
}

async fn streams_of_the_dead_count_no_more(house: House) {
    let (one, two) = (house.instance(1), house.instance(2));
    one.until_sees(2).await;
    two.until_sees(2).await;
    let _places = [one.entered("x", 2).await, one.entered("x", 2).await];
    assert!(two.is_full("x", 2).await);
    drop(one);
    let _place = two.entered("x", 2).await;
}

async fn a_place_that_is_given_up_is_free(house: House) {
    let (one, two) = (house.instance(1), house.instance(2));
    one.until_sees(2).await;
    two.until_sees(2).await;
    for _ in 0..20 {
        let place = one.entered("x", 1).await;
        assert!(two.is_full("x", 1).await && one.is_full("x", 1).await);
        drop(place);
        drop(two.entered("x", 1).await);
    }
}

async fn places_are_never_more_than_there_may_be(house: House) {
    let (one, two) = (house.instance(1), house.instance(2));
    one.until_sees(2).await;
    two.until_sees(2).await;
    let tries = (0..40).map(|number| if number % 2 == 0 { &one } else { &two }.places.acquire(subject("x"), 5));
    let places: Vec<_> = futures::future::join_all(tries).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(places.len(), 5);
    // Whoever asks and goes away before the answer takes no place for long.
    for _ in 0..10 {
        let _ = timeout(Duration::ZERO, one.places.acquire(subject("y"), 1)).await;
    }
    drop(two.entered("y", 1).await);
}

/// What only Redis can be put through.
#[tokio::test]
async fn a_redis_that_forgot_everything_is_told_again() {
    let house = House::redis().await;
    let (one, two) = (house.instance(1), house.instance(2));
    one.until_sees(2).await;
    two.until_sees(2).await;
    let _place = one.entered("x", 1).await;
    house.server.as_ref().unwrap().say(&["FLUSHALL"]);
    until_full(&two, "x", 1).await;
    one.until_sees(2).await;
}

#[tokio::test]
async fn a_lease_that_another_clock_made_too_long_ends_all_the_same() {
    let house = House::redis().await;
    let (one, dead) = (member(1, 1), member(2, 1));
    house.renew(&dead).await;
    let far = (i64::MAX >> 12).to_string();
    house.server.as_ref().unwrap().say(&["ZADD", "sk:{members}:leases", &far, &dead.instance.to_string()]);
    let ended = timeout(TEST_TIMEOUT, async {
        while house.renew(&one).await.live_members.len() > 1 {
            sleep(SPANS.renew).await;
        }
    });
    ended.await.expect("the dead live on");
}

#[tokio::test]
async fn a_lease_that_makes_no_sense_ends_nobody_elses() {
    let house = House::redis().await;
    let one = member(1, 1);
    house.renew(&one).await;
    house.server.as_ref().unwrap().say(&["HSET", "sk:{members}:members", "x", "no member"]);
    house.server.as_ref().unwrap().say(&["ZADD", "sk:{members}:leases", &(i64::MAX >> 12).to_string(), "x"]);
    assert_eq!(house.renew(&one).await, Renewed { live_members: vec![one], is_new: false });
}

#[tokio::test]
async fn in_a_cluster_leases_and_streams_stand_together() {
    let trio = Trio::start();
    streams_are_counted_over_all_members_whose_leases_last(House::at(&trio.url()).await).await;
    trio.0.iter().for_each(|node| drop(node.say(&["FLUSHALL"])));
    a_place_that_is_given_up_is_free(House::at(&trio.url()).await).await;
}
