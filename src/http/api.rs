//! What handlers work with.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::app::administration::Administration;
use crate::app::readiness::Readiness;
use crate::app::sessions::Sessions;
use crate::auth::{Authenticator, Tickets};
use crate::clock::Clock;
use crate::ids::Ids;
use crate::limits::{RateLimits, TenantQuotas};
use crate::security::Security;

/// What handlers work with.
pub struct Api {
    /// Timer sessions.
    pub sessions: Arc<Sessions>,
    /// What answers, for whoever asks whether this does.
    pub readiness: Arc<Readiness>,
    /// From a token to a proven caller.
    pub authenticator: Arc<Authenticator>,
    /// From where callers may come.
    pub addresses: Arc<Addresses>,
    /// How much a caller may ask.
    pub limits: Arc<RateLimits>,
    /// How much a tenant may ask, over all instances.
    pub tenants: Arc<TenantQuotas>,
    /// What administrators do.
    pub administration: Arc<Administration>,
    /// Tickets in place of tokens, for streams.
    pub tickets: Arc<dyn Tickets>,
    /// The security log.
    pub security: Arc<dyn Security>,
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
