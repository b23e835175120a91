//! This instance's own lease, and what it may do while it lasts.
//!
//! The lease ends by this host's own count, from the moment its renewal was sent: before
//! others may think so. So an instance that was stopped and goes on knows, before it has
//! heard from anybody, that it owns nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::member::{InstanceId, Member, Work};
use super::rendezvous::{Roles, roles};
use super::{Away, Leases, Renewed};
use crate::store::partition::Partitions;
use crate::telemetry::metrics::{LEASES_LAPSED_TOTAL, set_membership};
use crate::telemetry::outage::{Outage, OutageTracker};

static OUTAGE: Outage = Outage::new("lease", "the lease is not renewed", "the lease is renewed again");

/// How long leases last, and how often they are renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimers {
    /// How long a lease lasts. The same for all instances.
    pub lease: Duration,
    /// Between two renewals.
    pub renew: Duration,
}

impl Default for LeaseTimers {
    fn default() -> Self {
        Self { lease: Duration::from_secs(3), renew: Duration::from_secs(1) }
    }
}

/// One instance among others.
pub struct Membership {
    leases: Arc<dyn Leases>,
    me: Mutex<Member>,
    spans: LeaseTimers,
    lease: watch::Sender<Lease>,
    roles: watch::Sender<Roles>,
    audited: watch::Sender<Partitions>,
    restarts: watch::Sender<u64>,
}

/// What the newest renewal brought.
#[derive(Debug, Clone)]
struct Lease {
    until: Instant,
    living: Arc<[Member]>,
    roles: Roles,
}

impl Lease {
    fn is_valid(&self) -> bool {
        Instant::now() < self.until
    }
}

impl Membership {
    /// An instance that holds no lease yet: whoever runs it makes it a member.
    #[must_use]
    pub fn new(leases: Arc<dyn Leases>, me: Member, spans: LeaseTimers) -> Self {
        let lease = Lease { until: Instant::now(), living: Arc::default(), roles: Roles::default() };
        Self {
            leases,
            me: Mutex::new(me),
            spans,
            lease: watch::channel(lease).0,
            roles: watch::channel(Roles::default()).0,
            audited: watch::channel(Partitions::NONE).0,
            restarts: watch::channel(0).0,
        }
    }

    /// Which instance this is.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        self.me().instance
    }

    /// From the next renewal on, others see that it works by these settings.
    pub fn set_settings_version(&self, version: u64) {
        self.me().settings_version = version;
    }

    /// Whether it may act for others at this moment.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.lease.borrow().is_valid()
    }

    /// What it looks after at this moment: nothing, once its lease has ended.
    #[must_use]
    pub fn roles(&self) -> Roles {
        let lease = self.lease.borrow();
        if lease.is_valid() { lease.roles } else { Roles::default() }
    }

    /// Its roles, and whenever they change. For whoever waits; who is about to act asks
    /// for its roles, which end on time even where nothing runs.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Roles> {
        self.roles.subscribe()
    }

    /// From which partitions it brings what was committed to the ledger, and whenever
    /// that changes.
    #[must_use]
    pub fn audited(&self) -> watch::Receiver<Partitions> {
        self.audited.subscribe()
    }

    /// Who was running when it last asked; itself among them.
    #[must_use]
    pub fn live_members(&self) -> Arc<[Member]> {
        Arc::clone(&self.lease.borrow().living)
    }

    /// The newest format that every member can read; none, while it is no member.
    #[must_use]
    pub fn newest_format(&self) -> Option<u32> {
        let lease = self.lease.borrow();
        let newest = lease.living.iter().map(|member| member.formats.newest).min();
        newest.filter(|_| lease.is_valid())
    }

    /// Counts the leases that began: what was told under an earlier one may be forgotten.
    #[must_use]
    pub fn restarts(&self) -> watch::Receiver<u64> {
        self.restarts.subscribe()
    }

    /// Renews the lease again and again; runs until it is dropped.
    pub async fn run(&self) {
        let mut asker = OutageTracker::of(&OUTAGE);
        loop {
            let outcome = self.renew().await;
            asker.record(outcome.as_ref().err());
            let pause = if outcome.is_err() { self.spans.renew / 4 } else { self.spans.renew };
            self.expire_at(Instant::now() + pause).await;
        }
    }

    /// Ends the lease, so that nobody waits for it to end. To be called when nothing
    /// renews it any more.
    ///
    /// Who is the last to audit audits everything from then on: what is left is brought
    /// to the ledger before the lights go out.
    pub async fn leave(&self) -> Result<(), Away> {
        self.lease.send_modify(|lease| lease.until = Instant::now());
        self.set_roles(Roles::default(), Partitions::NONE);
        let me = self.me().clone();
        let asked = self.leases.leave(me.instance);
        let left = timeout_at(Instant::now() + self.spans.renew, asked).await.map_err(|late| Away(late.into()))??;
        if me.work.audits() && !left.iter().any(|member| member.work.audits()) {
            self.set_roles(Roles::default(), Partitions::ALL);
        }
        Ok(())
    }

    /// Asks for no longer than the lease lasts that it has.
    async fn renew(&self) -> Result<(), Away> {
        let (me, sent) = (self.me().clone(), Instant::now());
        let until = self.lease.borrow().until;
        if until <= sent {
            self.expire();
        }
        let patience = if until > sent { until.min(sent + self.spans.renew) } else { sent + self.spans.renew };
        let asked = timeout_at(patience, self.leases.renew(&me)).await;
        let renewed = asked.map_err(|late| Away(late.into()))??;
        // A little less than it lasts: no two hosts count alike.
        self.apply_renewal(me.instance, sent + self.spans.lease * 29 / 30, renewed);
        Ok(())
    }

    fn apply_renewal(&self, me: InstanceId, until: Instant, renewed: Renewed) {
        let before = self.lease.borrow().clone();
        let Renewed { live_members: living, is_new } = renewed;
        if *before.living != *living {
            tracing::info!(members = living.len(), "membership changed");
        }
        let among = |does: fn(Work) -> bool| {
            let ids: Vec<_> = living.iter().filter(|member| does(member.work)).map(|member| member.instance).collect();
            roles(me, &ids)
        };
        let (roles, audited) = if *before.living == *living && before.is_valid() {
            (before.roles, *self.audited.borrow())
        } else {
            (among(Work::serves), among(Work::audits).owner)
        };
        // Workers are watched by themselves.
        let instances = living.iter().filter(|member| member.work.serves()).count();
        set_membership(instances, roles.owner.len());
        self.lease.send_replace(Lease { until, living: living.into(), roles });
        self.set_roles(roles, audited);
        if is_new {
            self.restarts.send_modify(|count| *count += 1);
        }
    }

    /// Lets time pass, and the lease end when it does.
    async fn expire_at(&self, until: Instant) {
        let ends = self.lease.borrow().until;
        if ends < until {
            sleep_until(ends).await;
            self.expire();
        }
        sleep_until(until).await;
    }

    fn expire(&self) {
        if self.set_roles(Roles::default(), Partitions::NONE) {
            tracing::warn!("the lease has ended, so nothing is looked after here");
            metrics::counter!(LEASES_LAPSED_TOTAL).increment(1);
            set_membership(0, 0);
        }
    }

    /// Whether that is another share than before.
    fn set_roles(&self, roles: Roles, audited: Partitions) -> bool {
        let is_new = self.roles.send_if_modified(|before| std::mem::replace(before, roles) != roles);
        self.audited.send_if_modified(|before| std::mem::replace(before, audited) != audited) || is_new
    }

    /// A panic elsewhere cannot leave it half changed: nothing in here panics in between.
    fn me(&self) -> MutexGuard<'_, Member> {
        self.me.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
