//! One-time tickets: in Redis for all instances, or in the memory of the one process.
//!
//! A ticket is stored under its digest, so whoever reads the store cannot use one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use fred::interfaces::KeysInterface as _;
use fred::types::{Expiration, SetOptions};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::auth::{Ticket, TicketError, Tickets};
use crate::domain::chain::Digest;
use crate::domain::id::{ParticipantId, SessionId, TenantId};
use crate::domain::principal::{Principal, Provenance, Role};
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::redis::{Redis, RedisError};
use crate::store::keys::Keys;

/// How long a ticket is good.
const TICKET_LIFE_MS: i64 = 30_000;

/// The most tickets in memory; past that, the oldest go.
const MAX_TICKETS: usize = 100_000;

/// Longer texts are no tickets.
const MAX_TICKET_BYTES: usize = 128;

/// Tickets of all instances over one Redis.
pub struct RedisTickets {
    redis: Arc<Redis>,
    keys: Keys,
}

/// Tickets of one process.
#[derive(Default)]
pub struct MemoryTickets(Mutex<HashMap<Digest, (Timestamp, Arc<Principal>)>>);

/// The stored form of a principal. Instances of two releases may share it for half a minute.
#[derive(Serialize, Deserialize)]
struct StoredPrincipal {
    tenant: TenantId,
    subject: String,
    role: String,
    participant_id: Option<ParticipantId>,
    sessions: Option<BTreeSet<SessionId>>,
    #[serde(default)]
    locations: Option<BTreeSet<String>>,
    expires_at: Option<Timestamp>,
    token_id: Option<String>,
    issued_at: Option<Timestamp>,
    made_by: Option<String>,
    seat: Option<u64>,
    ticket_expires_at: Timestamp,
}

/// Two random ids: 148 bits that nobody can guess.
fn new_ticket(now: Timestamp) -> (Ticket, Digest) {
    let text = [Ids::Random.uuid(now), Ids::Random.uuid(now)].map(|id| id.simple().to_string()).concat();
    let digest = Digest::of(text.as_bytes());
    (Ticket { text, expires_at: now + TICKET_LIFE_MS }, digest)
}

#[async_trait]
impl Tickets for RedisTickets {
    async fn issue(&self, principal: &Principal, now: Timestamp) -> Result<Ticket, TicketError> {
        let (ticket, digest) = new_ticket(now);
        let stored = StoredPrincipal::of(principal, ticket.expires_at);
        // Texts and numbers: it always serialises.
        let stored = serde_json::to_string(&stored).unwrap_or_default();
        let life = Some(Expiration::PX(TICKET_LIFE_MS));
        let commands = self.redis.commands().await?;
        let set =
            commands.set::<(), _, _>(self.keys.ticket(&digest.to_string()), stored, life, Some(SetOptions::NX), false);
        set.await.map_err(RedisError::of)?;
        Ok(ticket)
    }

    async fn redeem(&self, ticket: &str, now: Timestamp) -> Result<Option<Arc<Principal>>, TicketError> {
        if ticket.len() > MAX_TICKET_BYTES {
            return Ok(None);
        }
        let key = self.keys.ticket(&Digest::of(ticket.as_bytes()).to_string());
        let commands = self.redis.commands().await?;
        let stored: Option<String> = commands.get(&key).await.map_err(RedisError::of)?;
        let Some(stored) = stored else { return Ok(None) };
        // Of several that have read it, only the one that deletes it has used it.
        let deleted: i64 = commands.del(&key).await.map_err(RedisError::of)?;
        let stored: Option<StoredPrincipal> = serde_json::from_str(&stored).ok();
        let good = stored.filter(|stored| deleted == 1 && now < stored.ticket_expires_at);
        Ok(good.and_then(StoredPrincipal::principal).map(Arc::new))
    }
}

impl RedisTickets {
    /// Over that connection.
    pub const fn new(redis: Arc<Redis>, keys: Keys) -> Self {
        Self { redis, keys }
    }
}

impl From<RedisError> for TicketError {
    fn from(error: RedisError) -> Self {
        Self(error.into())
    }
}

#[async_trait]
impl Tickets for MemoryTickets {
    async fn issue(&self, principal: &Principal, now: Timestamp) -> Result<Ticket, TicketError> {
        let (ticket, digest) = new_ticket(now);
        let mut tickets = self.0.lock();
        if tickets.len() >= MAX_TICKETS {
            tickets.retain(|_, (expires_at, _)| *expires_at > now);
        }
        if tickets.len() >= MAX_TICKETS
            && let Some(oldest) =
                tickets.iter().min_by_key(|(_, (expires_at, _))| *expires_at).map(|(digest, _)| *digest)
        {
            tickets.remove(&oldest);
        }
        tickets.insert(digest, (ticket.expires_at, Arc::new(principal.clone())));
        Ok(ticket)
    }

    async fn redeem(&self, ticket: &str, now: Timestamp) -> Result<Option<Arc<Principal>>, TicketError> {
        let used = self.0.lock().remove(&Digest::of(ticket.as_bytes()));
        Ok(used.filter(|(expires_at, _)| now < *expires_at).map(|(_, principal)| principal))
    }
}

impl StoredPrincipal {
    fn of(principal: &Principal, ticket_expires_at: Timestamp) -> Self {
        let Principal { tenant, subject, role, participant_id, sessions, locations, expires_at, provenance } = principal.clone();
        let Provenance { token_id, issued_at, made_by, seat } = provenance;
        let role = role.as_str().to_owned();
        Self {
            tenant,
            subject,
            role,
            participant_id,
            sessions,
            locations,
            expires_at,
            token_id,
            issued_at,
            made_by,
            seat,
            ticket_expires_at,
        }
    }

    fn principal(self) -> Option<Principal> {
        let Self { tenant, subject, participant_id, sessions, locations, expires_at, token_id, issued_at, made_by, seat, .. } =
            self;
        let provenance = Provenance { token_id, issued_at, made_by, seat };
        let role = Role::named(&self.role)?;
        Some(Principal { tenant, subject, role, participant_id, sessions, locations, expires_at, provenance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal() -> Principal {
        Principal {
            tenant: TenantId::new("t").unwrap(),
            subject: "s\n\"".to_owned(),
            role: Role::Participant,
            participant_id: ParticipantId::new("white").ok(),
            sessions: Some(BTreeSet::from([SessionId::new("a").unwrap()])),
            locations: Some(BTreeSet::from(["hall".to_owned()])),
            expires_at: Some(Timestamp::from_ms(9)),
            provenance: Provenance {
                token_id: Some("j".to_owned()),
                issued_at: Some(Timestamp::from_ms(1)),
                made_by: Some("m".to_owned()),
                seat: Some(3),
            },
        }
    }

    #[test]
    fn a_principal_is_stored_whole() {
        let stored = StoredPrincipal::of(&principal(), Timestamp::from_ms(5));
        let stored: StoredPrincipal = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
        assert_eq!(stored.principal(), Some(principal()));
    }

    #[tokio::test]
    async fn a_ticket_in_memory_is_good_once_and_in_time() {
        let (tickets, now) = (MemoryTickets::default(), Timestamp::from_ms(1_000));
        let issue = async || tickets.issue(&principal(), now).await.unwrap();
        let redeem = async |ticket: &Ticket, at| tickets.redeem(&ticket.text, at).await.unwrap();
        let (one, two) = (issue().await, issue().await);
        assert_ne!(one.text, two.text);
        assert_eq!(redeem(&one, now + 29_999).await.as_deref(), Some(&principal()));
        assert_eq!(redeem(&one, now).await, None);
        assert_eq!(redeem(&two, two.expires_at).await, None);
        assert_eq!(tickets.redeem("nonsense", now).await.unwrap(), None);
    }
}
