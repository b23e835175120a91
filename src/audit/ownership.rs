//! That this deployment alone writes to the ledger: claimed at the start, and again each
//! second. Who has lost it writes nothing more, and answers nothing more: its sessions may
//! go on elsewhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};

use crate::ledger::Ledger;
use crate::ledger::deployment::{Claim, Claimed, Deployment};
use crate::store::fence::{Fence, LedgerOwner};
use crate::telemetry::metrics::LEDGER_CONTESTED;

/// Between two claims.
const CLAIM_INTERVAL: Duration = Duration::from_secs(1);

/// The same at the start, where somebody waits.
const STARTUP_CLAIM_INTERVAL: Duration = Duration::from_millis(200);

/// Nobody lives where nobody has claimed for so long.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// Somebody lives where somebody has claimed no longer ago.
const ALIVE_WITHIN: Duration = Duration::from_millis(2_500);

/// Who starts is refused after so long beside somebody who lives.
const STARTUP_CONTEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Who runs gives up after so long: instances may reach a new master one after the other.
const CONTEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A claim that takes longer has no answer.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

type HomeError = Box<dyn std::error::Error + Send + Sync>;

/// Where a deployment's sessions are.
#[async_trait]
pub trait DeploymentStore: Send + Sync {
    /// Which deployment lives there, if that is known, and the process that holds it. An id
    /// that is `remembered` is put back where it is forgotten.
    async fn recall(&self, remembered: Option<&str>) -> Result<(Option<String>, String), HomeError>;

    /// Its sessions may have gone on elsewhere: each is held against the ledger before it is
    /// used again.
    async fn require_restore(&self) -> Result<(), HomeError>;
}

/// The ledger is another deployment's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the ledger is written by another deployment, {whose}: give this one a DATABASE_URL of its own, or say \
     --takes-over, once, if it is to take the other's place: whoever of that still runs then stops answering"
)]
pub struct LedgerTaken {
    whose: String,
}

/// A claim to the ledger, and what has come of it so far.
pub struct Ownership {
    ledger: Arc<dyn Ledger>,
    home: Arc<dyn DeploymentStore>,
    claim: Claim,
    doubt: Option<Contest>,
    known: LedgerOwner,
}

/// What stands in the ledger instead, and since when.
#[derive(Debug)]
struct Contest {
    mark: Deployment,
    /// Nothing but time can tell whether somebody lives there.
    is_open: bool,
    since: Instant,
    /// How often its count has moved, and when it did so last or was first seen.
    moves: u32,
    moved: Instant,
}

impl Contest {
    fn of(mark: Deployment, is_open: bool) -> Self {
        let now = Instant::now();
        Self { mark, is_open, since: now, moves: 0, moved: now }
    }

    fn updated(self, mark: Deployment, is_open: bool) -> Self {
        let has_moved = mark.beats != self.mark.beats;
        let moved = if has_moved { Instant::now() } else { self.moved };
        Self { mark, is_open, since: self.since, moves: self.moves + u32::from(has_moved), moved }
    }

    /// The count that has stood still for so long that nobody lives there.
    fn stood_still_at(&self) -> Option<i64> {
        (self.moved.elapsed() >= DEAD_AFTER).then_some(self.mark.beats)
    }

    /// Whether the ledger is lost, `patience` being what an open question is given.
    fn is_loss(&self, patience: Duration) -> bool {
        // Once may be whoever starts beside us, and has found out a moment before.
        let lives = self.moves > 1 && self.moved.elapsed() < ALIVE_WITHIN;
        !self.is_open || lives && self.since.elapsed() >= patience
    }

    fn error(&self) -> LedgerTaken {
        let Deployment { name, address, .. } = &self.mark;
        let shared = || format!("called {name} in Redis, at {address}");
        LedgerTaken { whose: if name.is_empty() { "a process without REDIS_URL".to_owned() } else { shared() } }
    }
}

impl Ownership {
    /// What `claim` says of the deployment in `home`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, home: Arc<dyn DeploymentStore>, claim: Claim) -> Self {
        metrics::gauge!(LEDGER_CONTESTED).set(0);
        Self { ledger, home, claim, doubt: None, known: LedgerOwner::Unknown }
    }

    /// Claims the ledger, and waits where only time can tell whose it is. While the ledger or
    /// Redis does not answer nobody can tell: [`run`](Self::run) finds out, and nothing is
    /// written to the ledger until then.
    pub async fn begin(&mut self) -> Result<(), LedgerTaken> {
        if self.claim.takes_over {
            // Those that start at the same moment take it for one and the same.
            self.claim.id = Some(self.claim.fresh.clone());
        }
        self.claim_until_held().await
    }

    async fn claim_until_held(&mut self) -> Result<(), LedgerTaken> {
        loop {
            match self.take().await {
                Ok(true) => {
                    self.known = LedgerOwner::Us;
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => {
                    warn!(error = &*error as &dyn std::error::Error, "whose the ledger is cannot be told yet");
                    return Ok(());
                }
            }
            if let Some(lost) = self.doubt.as_ref().filter(|doubt| doubt.is_loss(STARTUP_CONTEST_TIMEOUT)) {
                return Err(lost.error());
            }
            sleep(STARTUP_CLAIM_INTERVAL).await;
        }
    }

    /// Claims it, and takes it from whoever has it if that is wanted; whether it is held.
    async fn take(&mut self) -> Result<bool, HomeError> {
        let takes_over = self.claim.takes_over;
        let is_held = self.hold().await?;
        let is_held = is_held || takes_over && self.take_over().await?;
        // Once is enough: whoever takes it from us later is not to be fought.
        self.claim.takes_over = false;
        Ok(is_held)
    }

    async fn take_over(&mut self) -> Result<bool, HomeError> {
        self.home.require_restore().await?;
        self.apply_claim(self.claim.clone()).await
    }

    /// Claims it again each second. Closes `fence` while the ledger is another's; where sessions
    /// are in memory, returns then.
    pub async fn run(mut self, fence: Fence) {
        let mut every = interval(CLAIM_INTERVAL);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            fence.set(self.known);
            every.tick().await;
            let was = self.known;
            self.known = self.claim_again().await;
            let is_lost = self.known == LedgerOwner::Other;
            if is_lost != (was == LedgerOwner::Other) {
                self.log_change(is_lost);
            }
            if is_lost && self.claim.name.is_empty() {
                return;
            }
        }
    }

    /// Whose it is after one more claim. Once lost it stays so until it is held.
    async fn claim_again(&mut self) -> LedgerOwner {
        match self.take().await {
            Ok(true) => LedgerOwner::Us,
            Ok(false) if self.doubt.as_ref().is_some_and(|doubt| doubt.is_loss(CONTEST_TIMEOUT)) => LedgerOwner::Other,
            Ok(false) | Err(_) => self.known,
        }
    }

    /// Whose it is, as far as this process knows.
    #[must_use]
    pub const fn known(&self) -> LedgerOwner {
        self.known
    }

    /// Claims it once; whether it is held.
    async fn hold(&mut self) -> Result<bool, HomeError> {
        (self.claim.id, self.claim.place) = self.home.recall(self.claim.id.as_deref()).await?;
        self.claim.stood_still_at = self.doubt.as_ref().and_then(Contest::stood_still_at);
        if self.claim.stood_still_at.is_some() {
            self.prepare_takeover().await?;
        }
        let claim = Claim { takes_over: false, ..self.claim.clone() };
        self.apply_claim(claim).await
    }

    /// Prepares to go on where nobody lives any more. That comes before the claim: once it is
    /// held, others of this deployment go on as well.
    async fn prepare_takeover(&mut self) -> Result<(), HomeError> {
        self.home.require_restore().await?;
        let Some(Contest { mark, .. }) = self.doubt.as_ref().filter(|_| self.claim.id.is_none()) else { return Ok(()) };
        let is_known = mark.name == self.claim.name;
        let id = if is_known { &mark.id } else { &self.claim.fresh };
        if is_known {
            warn!(deployment = id, address = mark.address, "Redis had forgotten which deployment it is: it goes on");
        }
        (self.claim.id, self.claim.place) = self.home.recall(Some(id)).await?;
        Ok(())
    }

    async fn apply_claim(&mut self, claim: Claim) -> Result<bool, HomeError> {
        match timeout(CLAIM_TIMEOUT, self.ledger.claim(&claim)).await?? {
            Claimed::Held(id) => self.held(id).await,
            Claimed::Others(mark) => Ok(self.record_contest(mark, false)),
            Claimed::Behind(mark) | Claimed::Unclear(mark) => Ok(self.record_contest(mark, true)),
        }
    }

    /// Redis remembers from now on, unless it knows better.
    async fn held(&mut self, id: String) -> Result<bool, HomeError> {
        self.doubt = None;
        if self.claim.id.is_some() {
            return Ok(true);
        }
        let (standing, _) = self.home.recall(Some(&id)).await?;
        let is_so = standing.as_ref() == Some(&id);
        self.claim.id = standing;
        Ok(is_so)
    }

    fn record_contest(&mut self, mark: Deployment, is_open: bool) -> bool {
        self.doubt = Some(match self.doubt.take() {
            Some(doubt) => doubt.updated(mark, is_open),
            None => Contest::of(mark, is_open),
        });
        false
    }

    fn log_change(&self, is_lost: bool) {
        metrics::gauge!(LEDGER_CONTESTED).set(u8::from(is_lost));
        match &self.doubt {
            Some(Contest { mark, .. }) if is_lost => error!(
                other = mark.name,
                address = mark.address,
                "another deployment writes to the ledger: nothing is written or answered from here until it is gone"
            ),
            _ => info!("the ledger is this deployment's again"),
        }
    }
}
