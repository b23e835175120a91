//! How many streams a caller, a tenant and a session may have, counted over all instances.
//!
//! Nothing is counted where no limit is set: a limit that is set later counts the streams that
//! are opened from then on. Where one is set and nobody can count, no stream is opened.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::timeout;

use super::key::{Caller, network};
use super::stream_quota::{QuotaExceeded, StreamPermit, StreamQuota};
use crate::control::Current;
use crate::domain::id::{SessionKey, TenantId};
use crate::domain::setting::{MAX_STREAMS, MAX_WATCHERS_PER_SESSION, Setting};
use crate::membership::Subject;
use crate::telemetry::metrics::STREAMS_REFUSED_TOTAL;

/// Nobody waits longer to be counted.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// Whose streams are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamHolder {
    /// One caller's.
    Subject,
    /// All of a tenant.
    Tenant,
    /// Those that follow one session.
    Session,
}

/// Why a stream is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamRefused {
    /// There are as many as there may be.
    #[error("{} has as many streams as it may: {limit}", holder.as_str())]
    Full {
        /// Whose.
        holder: StreamHolder,
        /// So many.
        limit: u32,
    },
    /// Nobody can count them now.
    #[error("the streams of all instances cannot be counted")]
    Uncounted,
}

impl StreamHolder {
    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Tenant => "tenant",
            Self::Session => "session",
        }
    }
}

/// The places of one stream, until they are dropped. Without limits it has none.
#[derive(Default)]
pub struct StreamPermits(Option<Box<[StreamPermit]>>);

impl std::fmt::Debug for StreamPermits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamPermits({})", self.0.as_ref().map_or(0, |permits| permits.len()))
    }
}

/// A count that is under way.
pub type Counting = BoxFuture<'static, Result<StreamPermits, StreamRefused>>;

/// One count to ask for.
type Wanted = (StreamHolder, Subject, u32);

/// The limits of streams.
pub struct StreamLimits {
    per_subject: Option<u32>,
    settings: Current,
    quota: Arc<StreamQuota>,
}

impl StreamLimits {
    /// Limits by settings, and of each subject.
    pub const fn new(per_subject: Option<u32>, settings: Current, quota: Arc<StreamQuota>) -> Self {
        Self { per_subject, settings, quota }
    }

    /// No limits at all.
    pub fn none() -> Self {
        Self::new(None, Current::default(), StreamQuota::of_one_process())
    }

    /// Counts a stream of that caller; `None` where nothing is limited. In open mode, where all
    /// callers are one principal, `caller` is an address.
    pub fn open(&self, tenant: &TenantId, caller: Caller<'_>) -> Option<Counting> {
        let of_subject = self.per_subject.map(|limit| (StreamHolder::Subject, subject(tenant, caller), limit));
        let of_tenant = self.limit(tenant, &MAX_STREAMS);
        let of_tenant = of_tenant.map(|limit| (StreamHolder::Tenant, Subject::new(tenant, "tenant"), limit));
        self.counting([of_subject, of_tenant])
    }

    /// Counts a watcher of that session; `None` where they are not limited.
    pub fn watch(&self, key: &SessionKey) -> Option<Counting> {
        let limit = self.limit(&key.tenant, &MAX_WATCHERS_PER_SESSION)?;
        let subject = Subject::new(&key.tenant, &format!("session/{}", key.session));
        self.counting([Some((StreamHolder::Session, subject, limit)), None])
    }

    fn limit(&self, tenant: &TenantId, setting: &Setting) -> Option<u32> {
        u32::try_from(self.settings.number(tenant, setting)).ok().filter(|limit| *limit > 0)
    }

    fn counting(&self, wanted: [Option<Wanted>; 2]) -> Option<Counting> {
        wanted.iter().flatten().next()?;
        let quota = Arc::clone(&self.quota);
        Some(async move { acquire(&quota, wanted.into_iter().flatten()).await }.boxed())
    }
}

/// All of the counts, or none.
async fn acquire(
    quota: &Arc<StreamQuota>,
    wanted: impl Iterator<Item = Wanted> + Send,
) -> Result<StreamPermits, StreamRefused> {
    let mut permits = Vec::new();
    for (holder, subject, limit) in wanted {
        let counted = timeout(COUNT_TIMEOUT, quota.acquire(subject, limit)).await;
        let refused = match counted {
            Ok(Ok(permit)) => {
                permits.push(permit);
                continue;
            }
            Ok(Err(QuotaExceeded::Full)) => StreamRefused::Full { holder, limit },
            Ok(Err(QuotaExceeded::NoMember | QuotaExceeded::Leases(_))) | Err(_) => StreamRefused::Uncounted,
        };
        let reason = if refused == StreamRefused::Uncounted { "uncounted" } else { holder.as_str() };
        metrics::counter!(STREAMS_REFUSED_TOTAL, "reason" => reason).increment(1);
        return Err(refused);
    }
    Ok(StreamPermits(Some(permits.into())))
}

/// A token that another subject requested is not that subject.
fn subject(tenant: &TenantId, caller: Caller<'_>) -> Subject {
    match caller {
        Caller::Principal(principal) => Subject::new(tenant, &format!("subject/{}", principal.identity())),
        Caller::Address(address) => Subject::new(tenant, &format!("address/{}", shared(address))),
    }
}

fn shared(address: IpAddr) -> IpAddr {
    network(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::principal;

    async fn opened(limits: &StreamLimits, name: &str) -> Result<StreamPermits, StreamRefused> {
        let principal = principal("acme", name);
        limits.open(&principal.tenant, Caller::Principal(&principal)).expect("it is limited").await
    }

    #[tokio::test]
    async fn a_subject_has_so_many_streams_until_one_ends() {
        let limits = StreamLimits::new(Some(2), Current::default(), StreamQuota::of_one_process());
        let first = opened(&limits, "ann").await.unwrap();
        let _second = opened(&limits, "ann").await.unwrap();
        let full = StreamRefused::Full { holder: StreamHolder::Subject, limit: 2 };
        assert_eq!(opened(&limits, "ann").await.err(), Some(full));
        assert!(opened(&limits, "bob").await.is_ok());
        drop(first);
        assert!(opened(&limits, "ann").await.is_ok());
    }

    #[test]
    fn nothing_is_counted_without_a_limit() {
        let (limits, principal) = (StreamLimits::none(), principal("acme", "ann"));
        assert!(limits.open(&principal.tenant, Caller::Principal(&principal)).is_none());
        let key = SessionKey { tenant: principal.tenant, session: crate::domain::id::SessionId::new("s").unwrap() };
        assert!(limits.watch(&key).is_none());
    }

    #[test]
    fn callers_tenants_and_sessions_share_no_count() {
        let tenant = TenantId::new("acme").unwrap();
        let one = principal("acme", "tenant");
        let named = [
            subject(&tenant, Caller::Principal(&one)),
            subject(&tenant, Caller::Address([10, 0, 0, 1].into())),
            Subject::new(&tenant, "tenant"),
            Subject::new(&tenant, "session/tenant"),
        ];
        for (at, each) in named.iter().enumerate() {
            assert!(!named[..at].contains(each));
        }
    }
}
