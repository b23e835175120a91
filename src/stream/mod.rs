//! Live updates: each stream is a [`Feed`] and a way of writing what it hands out.

pub mod feed;
pub mod params;
pub mod poll;
pub mod sse;
pub mod status;
pub mod ws;

mod frames;
mod lifetime;
mod placement;
mod timing;
mod write_queue;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use metrics::Counter;
use serde_json::{Map, Value};

use self::feed::Feed;
use self::status::StatusPublisher;
pub use self::timing::Timing;
use crate::addresses::Addresses;
use crate::auth::{Authenticator, Denied, TicketError, Tickets};
use crate::clock::Clock;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::fanout::{Hub, Transport};
use crate::limits::{self, Class, Counting, RateLimited, RateLimits, StreamLimits, StreamPermits, StreamRefused};
use crate::security::Security;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics as names;
use crate::wire::close::Close;
use crate::wire::problem::Problem;

/// Sessions one stream may follow.
pub const MAX_SESSIONS: usize = 1_000;

/// Carries out what clients command on their streams: the same rules and the same
/// rights as over REST.
#[async_trait]
pub trait Commands: Send + Sync {
    /// Asks for a command. `body` is the frame without `type`, `id` and `session_id`:
    /// it holds `command`, perhaps `idempotency_key` and `expected_version`, and the
    /// command's own fields. `lag_ms` is the connection's own lag, as measured.
    /// Gives the answer's JSON object.
    async fn command(
        &self,
        principal: &Arc<Principal>,
        session: &SessionId,
        body: Map<String, Value>,
        lag_ms: i64,
    ) -> Result<Bytes, Box<Problem>>;
}

/// What streams stand on.
pub struct StreamsParts {
    /// What is watched.
    pub hub: Arc<Hub>,
    /// The status of this instance.
    pub status: Arc<StatusPublisher>,
    /// What is commanded.
    pub commands: Arc<dyn Commands>,
    /// Who calls.
    pub authenticator: Arc<Authenticator>,
    /// How much a caller may ask.
    pub limits: Arc<RateLimits>,
    /// How many streams there may be.
    pub stream_limits: Arc<StreamLimits>,
    /// From where callers may come.
    pub addresses: Arc<Addresses>,
    /// Tickets in place of tokens.
    pub tickets: Arc<dyn Tickets>,
    /// The security log.
    pub security: Arc<dyn Security>,
    /// Cluster time.
    pub clock: Arc<dyn Clock>,
    /// Streams end when it begins, spread over [`Timing::drain`].
    pub shutdown: Shutdown,
    /// Our own few timers.
    pub timing: Timing,
}

/// All streams of an instance.
pub struct Streams {
    parts: StreamsParts,
    frames_in: Counter,
    frames_out: Counter,
    left: AtomicU64,
}

impl Streams {
    /// Streams over `parts`, and the tasks that wake them: when a stop begins, and when others
    /// may be revoked than before.
    pub fn start(parts: StreamsParts) -> Arc<Self> {
        let frames = |direction| metrics::counter!(names::FRAMES_TOTAL, "direction" => direction);
        let (hub, status, stop) = (Arc::clone(&parts.hub), Arc::clone(&parts.status), parts.shutdown.soft());
        parts.shutdown.spawn("stream drain", async move {
            stop.cancelled().await;
            hub.wake_all();
            status.wake_all();
        });
        let (hub, status) = (Arc::clone(&parts.hub), Arc::clone(&parts.status));
        let mut changes = parts.authenticator.validity().changes();
        parts.shutdown.spawn_until_stopped("stream validity", async move {
            while changes.changed().await.is_ok() {
                hub.wake_all();
                status.wake_all();
            }
        });
        Arc::new(Self { parts, frames_in: frames("in"), frames_out: frames("out"), left: AtomicU64::new(0) })
    }

    /// Whether nobody needs a token.
    pub fn is_open(&self) -> bool {
        self.parts.authenticator.is_open()
    }

    /// The caller whom a token proves.
    ///
    /// # Errors
    /// Why it proves nobody.
    pub fn authenticate(&self, token: Option<&str>) -> Result<Arc<Principal>, Denied> {
        self.parts.authenticator.authenticate(token, self.parts.clock.now())
    }

    /// How much a caller may ask.
    pub fn limits(&self) -> &RateLimits {
        &self.parts.limits
    }

    /// As whom a caller is counted: in open mode everybody is the same principal, so by address.
    pub fn counted<'a>(&self, principal: &'a Principal, address: IpAddr) -> limits::Caller<'a> {
        if self.is_open() { limits::Caller::Address(address) } else { limits::Caller::Principal(principal) }
    }

    /// Counts a stream of that caller, and as a watcher of the session that it is to follow.
    ///
    /// # Errors
    /// There are too many, or nobody can count them.
    pub async fn admit(
        &self,
        principal: &Principal,
        address: IpAddr,
        session: Option<&SessionId>,
    ) -> Result<[StreamPermits; 2], StreamRefused> {
        let limits = &self.parts.stream_limits;
        let stream = counted(limits.open(&principal.tenant, self.counted(principal, address))).await?;
        let watch = session.and_then(|session| self.watch(principal, session));
        Ok([stream, counted(watch).await?])
    }

    /// Counts a watcher of that session; `None` where they are not limited.
    fn watch(&self, principal: &Principal, session: &SessionId) -> Option<Counting> {
        let key = SessionKey { tenant: principal.tenant.clone(), session: session.clone() };
        self.parts.stream_limits.watch(&key)
    }

    /// From where callers may come.
    pub fn addresses(&self) -> &Addresses {
        &self.parts.addresses
    }

    /// Counts what a caller asks on a stream that it has, as if it were a request.
    fn count(&self, class: Class, principal: &Principal, address: IpAddr) -> Result<(), RateLimited> {
        self.parts.limits.check(class, 1, || self.counted(principal, address)).map(drop)
    }

    /// The same; waits for what is revoked only while that is not known.
    ///
    /// # Errors
    /// Why it proves nobody.
    pub async fn authenticate_known(&self, token: Option<&str>) -> Result<Arc<Principal>, Denied> {
        match self.authenticate(token) {
            Err(Denied::Unknown) if self.parts.authenticator.validity().is_known().await => self.authenticate(token),
            authenticated => authenticated,
        }
    }

    /// Uses a ticket up: the caller whom it was issued to, if neither has ended.
    ///
    /// # Errors
    /// The tickets cannot be reached.
    pub async fn redeem(&self, ticket: &str) -> Result<Result<Arc<Principal>, Denied>, TicketError> {
        if !self.parts.authenticator.validity().is_known().await {
            return Ok(Err(Denied::Unknown));
        }
        let now = self.parts.clock.now();
        let principal = self.parts.tickets.redeem(ticket, now).await?;
        Ok(principal.ok_or(Denied::Ticket).and_then(|principal| self.parts.authenticator.still_valid(principal, now)))
    }

    /// The security log.
    pub fn security(&self) -> &dyn Security {
        &*self.parts.security
    }

    /// A feed of a session, from `last` on if that is known here.
    pub fn follow(&self, key: &SessionKey, last: Option<Position>, transport: Transport) -> Box<dyn Feed> {
        Box::new(self.parts.hub.subscribe(key, last, transport))
    }

    /// A feed of this instance's status.
    pub fn follow_status(&self, last: Option<Position>) -> Box<dyn Feed> {
        Box::new(self.parts.status.follow(last))
    }

    /// Whether the instance is going away.
    pub fn is_stopping(&self) -> bool {
        self.parts.shutdown.is_begun()
    }

    /// Between two heartbeats, where the caller asks for nothing else.
    pub fn default_heartbeat(&self) -> Duration {
        self.parts.timing.heartbeat
    }

    /// The present instant of cluster time.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// How long into a drain the next stream ends.
    fn share_of_drain(&self) -> Duration {
        self.share_of(self.parts.timing.drain)
    }

    /// Where in `span` the next of many has its turn: evenly spread, however many there are.
    fn share_of(&self, span: Duration) -> Duration {
        // Multiples of the golden section leave no gaps and no heaps.
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let turn = self.left.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN);
        let part = u32::try_from(turn >> 54).unwrap_or(0);
        span * part / 1_024
    }
}

/// Counts a stream that the service closed.
fn closed(close: Close) {
    metrics::counter!(names::STREAM_CLOSES_TOTAL, "code" => close.code().to_string()).increment(1);
}

/// Waits for a count, where there is one.
async fn counted(counting: Option<Counting>) -> Result<StreamPermits, StreamRefused> {
    match counting {
        Some(counting) => counting.await,
        None => Ok(StreamPermits::default()),
    }
}
