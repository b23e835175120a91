//! This instance's own lease, and its roles while the lease is valid.
//!
//! The lease ends by this host's own timer, counted from the moment its renewal was sent:
//! earlier than others may see it end. So an instance that was stopped and resumes knows at
//! once that it owns nothing.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::member::{InstanceId, Member, Work};
use super::partition_owner::{Roles, roles};
use super::write_format::WriteFormat;
use super::{ControlNews, LeaseError, Leases, Renewed};
use crate::store::partition::Partitions;
use crate::telemetry::metrics::{LEASES_LAPSED_TOTAL, set_membership};
use crate::telemetry::outage::{OutageLog, OutageTracker};

static OUTAGE: OutageLog = OutageLog::new("lease", "the lease is not renewed", "the lease is renewed again");

/// The length of leases, and the interval of renewals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimers {
    /// The length of a lease, the same for all instances.
    pub lease: Duration,
    /// The interval of renewals.
    pub renew: Duration,
}

impl Default for LeaseTimers {
    fn default() -> Self {
        Self { lease: Duration::from_secs(3), renew: Duration::from_secs(1) }
    }
}

/// This instance among the others.
pub struct Membership {
    leases: Arc<dyn Leases>,
    me: Mutex<Member>,
    timers: LeaseTimers,
    lease: watch::Sender<Lease>,
    roles: watch::Sender<Roles>,
    audited: watch::Sender<Partitions>,
    restarts: watch::Sender<u64>,
    control_news: watch::Sender<ControlNews>,
    write_format: WriteFormat,
}

/// The outcome of the newest renewal.
#[derive(Debug, Clone)]
struct Lease {
    until: Instant,
    live_members: Arc<[Member]>,
    roles: Roles,
}

impl Lease {
    fn is_valid(&self) -> bool {
        Instant::now() < self.until
    }
}

impl Membership {
    /// An instance without a lease yet; [`run`](Self::run) makes it a member.
    pub fn new(leases: Arc<dyn Leases>, me: Member, timers: LeaseTimers) -> Self {
        let lease = Lease { until: Instant::now(), live_members: Arc::default(), roles: Roles::default() };
        Self {
            leases,
            write_format: WriteFormat::new(me.formats.oldest),
            me: Mutex::new(me),
            timers,
            lease: watch::channel(lease).0,
            roles: watch::channel(Roles::default()).0,
            audited: watch::channel(Partitions::NONE).0,
            restarts: watch::channel(0).0,
            control_news: watch::channel(ControlNews::default()).0,
        }
    }

    /// The id of this instance.
    pub fn instance(&self) -> InstanceId {
        self.me.lock().instance
    }

    /// Publishes the version of its settings with the next renewal.
    pub fn set_settings_version(&self, version: u64) {
        self.me.lock().settings_version = version;
    }

    /// Whether its lease is valid at this moment.
    pub fn is_member(&self) -> bool {
        self.lease.borrow().is_valid()
    }

    /// Its roles at this moment: none, once its lease has ended.
    pub fn roles(&self) -> Roles {
        let lease = self.lease.borrow();
        if lease.is_valid() { lease.roles } else { Roles::default() }
    }

    /// Its roles, and their changes. A caller that is about to act must ask for
    /// [`roles`](Self::roles), which end on time even where no task runs.
    pub fn changes(&self) -> watch::Receiver<Roles> {
        self.roles.subscribe()
    }

    /// The partitions whose outbox it moves to the ledger, and their changes.
    pub fn audited(&self) -> watch::Receiver<Partitions> {
        self.audited.subscribe()
    }

    /// The members of the newest renewal, itself among them.
    pub fn live_members(&self) -> Arc<[Member]> {
        Arc::clone(&self.lease.borrow().live_members)
    }

    /// The format to write: the newest that every live member can read. While its lease is
    /// not valid, it is the oldest that this release reads.
    pub fn write_format(&self) -> WriteFormat {
        self.write_format.clone()
    }

    /// Counts its new leases: counts of streams from an earlier one may be lost.
    pub fn restarts(&self) -> watch::Receiver<u64> {
        self.restarts.subscribe()
    }

    /// What the newest renewal told of the control state, and its changes.
    pub fn control_news(&self) -> watch::Receiver<ControlNews> {
        self.control_news.subscribe()
    }

    /// Renews the lease at every interval; runs until it is dropped.
    pub async fn run(&self) {
        let mut outage = OutageTracker::of(&OUTAGE);
        loop {
            let outcome = self.renew().await;
            outage.record(outcome.as_ref().err());
            let pause = if outcome.is_err() { self.timers.renew / 4 } else { self.timers.renew };
            self.sleep_or_expire(Instant::now() + pause).await;
        }
    }

    /// Ends the lease at once. To be called when nothing renews it any more.
    ///
    /// The last instance that audits takes over all partitions, so that the outbox is empty
    /// before it stops.
    pub async fn leave(&self) -> Result<(), LeaseError> {
        self.lease.send_modify(|lease| lease.until = Instant::now());
        self.set_roles(Roles::default(), Partitions::NONE);
        let me = self.me.lock().clone();
        let request = self.leases.leave(me.instance);
        let left =
            timeout_at(Instant::now() + self.timers.renew, request).await.map_err(|late| LeaseError(late.into()))??;
        if me.work.audits() && !left.iter().any(|member| member.work.audits()) {
            self.set_roles(Roles::default(), Partitions::ALL);
        }
        Ok(())
    }

    /// Waits for no longer than its current lease is valid.
    async fn renew(&self) -> Result<(), LeaseError> {
        let (me, sent) = (self.me.lock().clone(), Instant::now());
        let until = self.lease.borrow().until;
        if until <= sent {
            self.expire();
        }
        let limit = sent + self.timers.renew;
        let deadline = if until > sent { until.min(limit) } else { limit };
        let renewed = timeout_at(deadline, self.leases.renew(&me)).await;
        let renewed = renewed.map_err(|late| LeaseError(late.into()))??;
        // A little less than its length: the clocks of two hosts differ in rate.
        self.apply_renewal(me.instance, sent + self.timers.lease * 29 / 30, renewed);
        Ok(())
    }

    fn apply_renewal(&self, me: InstanceId, until: Instant, renewed: Renewed) {
        let before = self.lease.borrow().clone();
        let Renewed { live_members, is_new, control_revision } = renewed;
        let is_same = *before.live_members == *live_members;
        if !is_same {
            tracing::info!(members = live_members.len(), "membership changed");
        }
        let among = |does: fn(Work) -> bool| {
            let those = live_members.iter().filter(|member| does(member.work));
            roles(me, &those.map(|member| member.instance).collect::<Vec<_>>())
        };
        let (roles, audited) = if is_same && before.is_valid() {
            (before.roles, *self.audited.borrow())
        } else {
            (among(Work::serves), among(Work::audits).owner)
        };
        // Instances that only audit have a metric of their own.
        let instances = live_members.iter().filter(|member| member.work.serves()).count();
        set_membership(instances, roles.owner.len());
        if let Some(format) = live_members.iter().map(|member| member.formats.newest).min() {
            self.write_format.set(format);
        }
        self.lease.send_replace(Lease { until, live_members: live_members.into(), roles });
        self.set_roles(roles, audited);
        if is_new {
            self.restarts.send_modify(|count| *count += 1);
        }
        let lease = (*self.restarts.borrow()).max(1);
        self.tell_control(ControlNews { lease, revision: control_revision });
    }

    fn tell_control(&self, news: ControlNews) {
        self.control_news.send_if_modified(|told| std::mem::replace(told, news) != news);
    }

    /// Sleeps, and expires the lease when it ends meanwhile.
    async fn sleep_or_expire(&self, until: Instant) {
        let ends = self.lease.borrow().until;
        if ends < until {
            sleep_until(ends).await;
            self.expire();
        }
        sleep_until(until).await;
    }

    fn expire(&self) {
        self.write_format.set(self.me.lock().formats.oldest);
        self.tell_control(ControlNews::default());
        if self.set_roles(Roles::default(), Partitions::NONE) {
            tracing::warn!("the lease has ended, so this instance owns nothing");
            metrics::counter!(LEASES_LAPSED_TOTAL).increment(1);
            set_membership(0, 0);
        }
    }

    /// Returns whether they differ from before.
    fn set_roles(&self, roles: Roles, audited: Partitions) -> bool {
        let is_new = self.roles.send_if_modified(|before| std::mem::replace(before, roles) != roles);
        self.audited.send_if_modified(|before| std::mem::replace(before, audited) != audited) || is_new
    }
}
