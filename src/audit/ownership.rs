//! One deployment alone writes to the ledger. It claims the ledger at the start, and again each
//! second.
//!
//! A deployment that has lost the ledger writes nothing and answers no requests: its sessions
//! may go on elsewhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};

use crate::ledger::Ledger;
use crate::ledger::deployment::{Claim, ClaimOutcome, Deployment};
use crate::store::ledger_fence::{Fence, LedgerOwner};
use crate::telemetry::metrics::LEDGER_CONTESTED;

#[cfg(test)]
mod tests;

const CLAIM_INTERVAL: Duration = Duration::from_secs(1);

/// Shorter at the start, where an operator waits.
const STARTUP_CLAIM_INTERVAL: Duration = Duration::from_millis(200);

/// An owner without a claim for so long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// An owner that claimed no longer ago is alive.
const ALIVE_WITHIN: Duration = Duration::from_millis(2_500);

/// How long a start waits beside a live owner before it is refused.
const STARTUP_CONTEST_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a running deployment tolerates a live owner. Instances may reach a new master one
/// after the other.
const CONTEST_TIMEOUT: Duration = Duration::from_secs(5);

const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// The store that holds a deployment's sessions.
#[async_trait]
pub trait DeploymentStore: Send + Sync {
    /// The id of the deployment, if the store has one, and the store's process. Restores the id
    /// `remembered` if the store has none.
    async fn recall(&self, remembered: Option<&str>) -> Result<(Option<String>, String), StoreError>;

    /// Sessions may have gone on elsewhere, so each must be compared with the ledger before its
    /// next use.
    async fn require_restore(&self) -> Result<(), StoreError>;

    /// Like [`recall`](Self::recall), and stores `new` in the place of the id `old`, unless another
    /// id has taken it.
    async fn replace(&self, old: &str, new: &str) -> Result<(Option<String>, String), StoreError>;
}

/// Why this deployment may not write to the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// Another deployment owns it.
    #[error(
        "the ledger is written by another deployment, {0}: give this one a DATABASE_URL of its own, or say \
         --takes-over, once, if it is to take the other's place: whoever of that still runs then stops answering"
    )]
    Taken(String),
    /// The deployment has another ledger.
    #[error(
        "the deployment called {0} in Redis writes to another ledger, and this one has no mark of it: give the other \
         ledger's DATABASE_URL, or a REDIS_PREFIX of its own if this is another deployment. Say --takes-over, once, \
         if that ledger is lost or moved: whoever still writes to it then stops answering"
    )]
    Elsewhere(String),
}

/// A claim to the ledger, and its state so far.
pub struct LedgerOwnership {
    ledger: Arc<dyn Ledger>,
    store: Arc<dyn DeploymentStore>,
    claim: Claim,
    contest: Option<Contest>,
    owner: LedgerOwner,
    /// The id under which this process last owned the ledger.
    owned_as: Option<String>,
}

/// Another owner in the ledger, and how its heartbeat count has changed.
#[derive(Debug)]
struct Contest {
    /// None in a ledger that this deployment has never written to, though it has a ledger.
    owner: Option<Deployment>,
    /// Only time can tell whether that owner is alive.
    is_open: bool,
    since: Instant,
    /// How often its count has increased, and when it last did or was first seen.
    beats_seen: u32,
    last_beat: Instant,
}

impl Contest {
    fn of(owner: Option<Deployment>, is_open: bool) -> Self {
        let now = Instant::now();
        Self { owner, is_open, since: now, beats_seen: 0, last_beat: now }
    }

    fn updated(self, owner: Option<Deployment>, is_open: bool) -> Self {
        let beats = |owner: &Option<Deployment>| owner.as_ref().map(|owner| owner.beats);
        let has_beaten = beats(&owner) != beats(&self.owner);
        let last_beat = if has_beaten { Instant::now() } else { self.last_beat };
        let beats_seen = self.beats_seen + u32::from(has_beaten);
        Self { owner, is_open, since: self.since, beats_seen, last_beat }
    }

    /// The heartbeat count, if it has stalled for so long that the owner is dead.
    fn stalled_beats(&self) -> Option<i64> {
        self.owner.as_ref().filter(|_| self.last_beat.elapsed() >= DEAD_AFTER).map(|owner| owner.beats)
    }

    /// Whether the ledger is lost. An open contest lasts at least `limit`.
    fn is_loss(&self, limit: Duration) -> bool {
        // One beat may be of a start beside this one that is about to be refused. A ledger without a mark may get
        // one from a take-over that is under way.
        let is_alive = self.beats_seen > 1 && self.last_beat.elapsed() < ALIVE_WITHIN;
        !self.is_open || (is_alive || self.owner.is_none()) && self.since.elapsed() >= limit
    }

    fn refusal(&self, name: &str) -> ClaimRefused {
        match &self.owner {
            None => ClaimRefused::Elsewhere(name.to_owned()),
            Some(Deployment { name, .. }) if name.is_empty() => {
                ClaimRefused::Taken("a process without REDIS_URL".to_owned())
            }
            Some(Deployment { name, address, .. }) => {
                ClaimRefused::Taken(format!("called {name} in Redis, at {address}"))
            }
        }
    }
}

impl LedgerOwnership {
    /// Claims `ledger` for the deployment in `store`, as `claim` says.
    pub fn new(ledger: Arc<dyn Ledger>, store: Arc<dyn DeploymentStore>, claim: Claim) -> Self {
        metrics::gauge!(LEDGER_CONTESTED).set(0);
        Self { ledger, store, claim, contest: None, owner: LedgerOwner::Unknown, owned_as: None }
    }

    /// Claims the ledger, and waits while only time can tell its owner. While the ledger or Redis
    /// does not answer, the owner stays unknown and the ledger is not written; [`run`](Self::run)
    /// finds out.
    pub async fn begin(&mut self) -> Result<(), ClaimRefused> {
        if self.claim.takes_over {
            // All instances that start at the same moment take it over under one id.
            self.claim.id = Some(self.claim.new_id.clone());
        }
        self.claim_until_held().await
    }

    async fn claim_until_held(&mut self) -> Result<(), ClaimRefused> {
        loop {
            match self.claim_or_take_over().await {
                Ok(true) => {
                    self.owner = LedgerOwner::Us;
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => {
                    warn!(
                        error = &*error as &dyn std::error::Error,
                        "cannot find out yet which deployment owns the ledger"
                    );
                    return Ok(());
                }
            }
            if let Some(lost) = self.contest.as_ref().filter(|contest| contest.is_loss(STARTUP_CONTEST_TIMEOUT)) {
                return Err(lost.refusal(&self.claim.name));
            }
            sleep(STARTUP_CLAIM_INTERVAL).await;
        }
    }

    /// Claims the ledger, or takes it over if configured so; returns whether the claim holds.
    async fn claim_or_take_over(&mut self) -> Result<bool, StoreError> {
        let takes_over = self.claim.takes_over;
        let is_held = self.claim_once().await?;
        let is_held = is_held || takes_over && self.take_over().await?;
        // Only once: a later take-over by another deployment is not contested.
        self.claim.takes_over = false;
        Ok(is_held)
    }

    /// Takes the ledger over. A deployment that had another one moves here under a new id: the other
    /// is no longer its own. Redis decides which id counts, and it may change until the ledger has it,
    /// as several instances do this at the same moment.
    async fn take_over(&mut self) -> Result<bool, StoreError> {
        self.store.require_restore().await?;
        if self.is_elsewhere() {
            let old = self.claim.id.clone().unwrap_or_default();
            self.store.replace(&old, &self.claim.new_id).await?;
        }
        (self.claim.id, self.claim.process) = self.store.recall(self.claim.id.as_deref()).await?;
        loop {
            let claimed = self.claim.id.clone();
            let is_held = self.apply_claim(self.claim.clone()).await?;
            (self.claim.id, self.claim.process) = self.store.recall(claimed.as_deref()).await?;
            if self.claim.id == claimed {
                return Ok(is_held);
            }
        }
    }

    /// Whether this deployment has another ledger: this one has no mark, or still the one from before
    /// a move.
    fn is_elsewhere(&self) -> bool {
        self.contest.as_ref().is_some_and(|contest| match &contest.owner {
            None => true,
            Some(owner) => self.owned_as.as_ref() == Some(&owner.id) && self.claim.id != self.owned_as,
        })
    }

    /// Claims the ledger again each second. Closes `fence` while another deployment owns it, and
    /// returns then if sessions are in memory, or if the deployment has another ledger.
    pub async fn run(mut self, fence: Fence) {
        let mut every = interval(CLAIM_INTERVAL);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        fence.set(self.owner);
        loop {
            every.tick().await;
            let was = self.owner;
            self.owner = self.claim_again().await;
            let is_lost = self.owner == LedgerOwner::Other;
            if is_lost != (was == LedgerOwner::Other) {
                self.log_change(is_lost);
            }
            if is_lost && self.claim.name.is_empty() {
                return;
            }
            fence.set(self.owner);
            if is_lost && self.is_elsewhere() {
                return;
            }
        }
    }

    /// The owner after one more claim. A lost ledger stays lost until a claim holds.
    async fn claim_again(&mut self) -> LedgerOwner {
        match self.claim_or_take_over().await {
            Ok(true) => LedgerOwner::Us,
            Ok(false) if self.contest.as_ref().is_some_and(|contest| contest.is_loss(CONTEST_TIMEOUT)) => {
                LedgerOwner::Other
            }
            Ok(false) | Err(_) => self.owner,
        }
    }

    /// The owner, as far as this process knows.
    pub const fn owner(&self) -> LedgerOwner {
        self.owner
    }

    /// Claims the ledger once; returns whether the claim holds.
    async fn claim_once(&mut self) -> Result<bool, StoreError> {
        (self.claim.id, self.claim.process) = self.store.recall(self.claim.id.as_deref()).await?;
        self.claim.stalled_beats = self.contest.as_ref().and_then(Contest::stalled_beats);
        if self.claim.stalled_beats.is_some() {
            self.prepare_takeover().await?;
        }
        let claim = Claim { takes_over: false, ..self.claim.clone() };
        self.apply_claim(claim).await
    }

    /// Prepares to replace a dead owner. That precedes the claim: once it holds, other instances
    /// of this deployment go on as well.
    async fn prepare_takeover(&mut self) -> Result<(), StoreError> {
        self.store.require_restore().await?;
        let contest = self.contest.as_ref().filter(|_| self.claim.id.is_none());
        let Some(owner) = contest.and_then(|contest| contest.owner.as_ref()) else { return Ok(()) };
        let is_known = owner.name == self.claim.name;
        let id = if is_known { &owner.id } else { &self.claim.new_id };
        if is_known {
            warn!(deployment = id, address = owner.address, "Redis had forgotten which deployment it is: it goes on");
        }
        (self.claim.id, self.claim.process) = self.store.recall(Some(id)).await?;
        Ok(())
    }

    async fn apply_claim(&mut self, claim: Claim) -> Result<bool, StoreError> {
        match timeout(CLAIM_TIMEOUT, self.ledger.claim(&claim)).await?? {
            ClaimOutcome::Held(id) => self.remember(id).await,
            ClaimOutcome::Foreign(owner) => Ok(self.record_contest(Some(owner), false)),
            ClaimOutcome::Behind(owner) | ClaimOutcome::Unclear(owner) => Ok(self.record_contest(Some(owner), true)),
            ClaimOutcome::Unmarked => Ok(self.record_contest(None, true)),
        }
    }

    /// Stores the id in Redis, unless Redis has another by now.
    async fn remember(&mut self, id: String) -> Result<bool, StoreError> {
        self.contest = None;
        self.claim.has_owned = true;
        self.owned_as = Some(id.clone());
        if self.claim.id.is_some() {
            return Ok(true);
        }
        let (stored, _) = self.store.recall(Some(&id)).await?;
        let is_ours = stored.as_ref() == Some(&id);
        self.claim.id = stored;
        Ok(is_ours)
    }

    fn record_contest(&mut self, owner: Option<Deployment>, is_open: bool) -> bool {
        self.contest = Some(match self.contest.take() {
            Some(contest) => contest.updated(owner, is_open),
            None => Contest::of(owner, is_open),
        });
        false
    }

    fn log_change(&self, is_lost: bool) {
        metrics::gauge!(LEDGER_CONTESTED).set(u8::from(is_lost));
        match &self.contest {
            Some(_) if is_lost && self.is_elsewhere() => {
                error!(deployment = self.claim.name, "this deployment writes to another ledger: stopping");
            }
            Some(Contest { owner: Some(owner), .. }) if is_lost => error!(
                other = owner.name,
                address = owner.address,
                "another deployment writes to the ledger: nothing is written or answered from here until it is gone"
            ),
            _ => info!("the ledger is this deployment's again"),
        }
    }
}
