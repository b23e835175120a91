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
mod seals;
mod timing;
mod write_queue;

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
use crate::auth::{Authenticator, Denied};
use crate::clock::Clock;
use crate::domain::chain::Digest;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::fanout::{Hub, Transport};
use crate::seal::Sealing;
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
    /// command's own fields. `signed` is its signature, if it has one, and `lag_ms` the
    /// connection's own lag, as measured. Gives the answer's JSON object.
    async fn command(
        &self,
        principal: &Arc<Principal>,
        session: &SessionId,
        body: Map<String, Value>,
        signed: Option<SignedFrame>,
        lag_ms: i64,
    ) -> Result<Bytes, Box<Problem>>;
}

/// The signature of a command's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFrame {
    /// What stands in the frame as its signature.
    pub signature: String,
    /// The digest of the text before it.
    pub digest: Digest,
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
    /// Cluster time.
    pub clock: Arc<dyn Clock>,
    /// Streams end when it begins, spread over [`Timing::drain`].
    pub shutdown: Shutdown,
    /// Our own few timers.
    pub timing: Timing,
    /// Seals what streams say by themselves.
    pub sealing: Sealing,
}

/// All streams of an instance.
pub struct Streams {
    parts: StreamsParts,
    frames_in: Counter,
    frames_out: Counter,
    left: AtomicU64,
}

impl Streams {
    /// Streams over `parts`, and the task that wakes them when a stop begins.
    pub fn start(parts: StreamsParts) -> Arc<Self> {
        let frames = |direction| metrics::counter!(names::FRAMES_TOTAL, "direction" => direction);
        let (hub, status, stop) = (Arc::clone(&parts.hub), Arc::clone(&parts.status), parts.shutdown.soft());
        parts.shutdown.spawn("stream drain", async move {
            stop.cancelled().await;
            hub.wake_all();
            status.wake_all();
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

    /// A feed of a session, from `last` on if that is known here.
    pub fn follow(&self, key: &SessionKey, last: Option<Position>, transport: Transport) -> Box<dyn Feed> {
        Box::new(self.parts.hub.subscribe(key, last, transport))
    }

    /// A feed of this instance's status, for a caller.
    pub fn follow_status(&self, by: &Principal, last: Option<Position>) -> Box<dyn Feed> {
        Box::new(self.parts.status.follow(last).sealed_for(&self.parts.sealing, &by.tenant))
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
