//! Seals what a stream says by itself. States and warnings come sealed from the fan-out.

use bytes::Bytes;

use super::Streams;
use super::feed::Feed;
use super::poll::PollResponse;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::seal::KeyScope;

/// What a frame is about: a session that has its place, or nothing of the kind.
pub(super) type Place<'a> = Option<(&'a SessionId, Position)>;

impl Streams {
    /// Whether what this tenant is told is sealed.
    pub(super) fn seals(&self, tenant: &TenantId) -> bool {
        self.parts.sealing.is_on(tenant)
    }

    /// A JSON object as the tenant wants it: under the key of the session's epoch, where that is
    /// known, else under the tenant's own.
    pub(super) fn sealed(&self, tenant: &TenantId, place: Place<'_>, object: Bytes) -> Bytes {
        // Most want none, and nothing is made for them.
        if !self.seals(tenant) {
            return object;
        }
        match place {
            Some((session, Position { epoch, .. })) => {
                let key = SessionKey { tenant: tenant.clone(), session: session.clone() };
                self.parts.sealing.object(KeyScope::Session(&key, epoch), object)
            }
            None => self.parts.sealing.object(KeyScope::Tenant(tenant), object),
        }
    }

    /// The same for the answer to a poll.
    pub(super) fn sealed_response(&self, tenant: &TenantId, feed: &dyn Feed, response: PollResponse) -> PollResponse {
        response.map_body(|position, body| {
            let place = feed.session().map(|session| (session, position));
            self.sealed(tenant, place, body)
        })
    }
}
