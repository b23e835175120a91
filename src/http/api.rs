//! What handlers work with.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::readiness::Readiness;
use crate::app::sessions::Sessions;
use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::ids::Ids;
use crate::seal::Sealing;
use crate::signature::Signatures;

/// What handlers work with.
pub struct Api {
    /// Timer sessions.
    pub sessions: Arc<Sessions>,
    /// What answers, for whoever asks whether this does.
    pub readiness: Arc<Readiness>,
    /// From a token to a proven caller.
    pub authenticator: Arc<Authenticator>,
    /// Has the keys of sealed messages.
    pub sealing: Sealing,
    /// Checks signed commands.
    pub signatures: Arc<Signatures>,
    /// Where now comes from.
    pub clock: Arc<dyn Clock>,
    /// Where identifiers come from.
    pub ids: Ids,
    /// Above this `/ready` says no.
    pub max_uncertainty_ms: f64,
    /// How long the whole body of a request may take.
    pub body_deadline: Duration,
    /// A stop is to come.
    pub draining: CancellationToken,
}
