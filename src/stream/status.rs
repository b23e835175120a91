//! The status of this instance, as a feed.
//!
//! It is computed while somebody follows it, and at no other time.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use tokio::sync::{Notify, watch};
use tokio_stream::wrappers::WatchStream;

use super::feed::Feed;
use super::frames;
use crate::domain::access::Access;
use crate::domain::id::{SessionId, TenantId};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Unavailable, Update, UpdateKind};
use crate::seal::{KeyScope, Sealing};
use crate::shutdown::Shutdown;
use crate::wire::close::Close;
use crate::wire::status::InstanceStatus;

/// How often the status is computed while it is followed.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Computes the status.
#[async_trait]
pub trait StatusSource: Send + Sync {
    /// The present status of the instance.
    async fn status(&self) -> InstanceStatus;
}

/// The status of this instance, for any number of feeds.
#[derive(Debug)]
pub struct StatusPublisher {
    /// The epoch of its positions: another instance, or another start, has another one.
    epoch: i64,
    newest: watch::Sender<Option<Arc<Update>>>,
    followed: Notify,
}

impl StatusPublisher {
    /// The status by `source`, and the task that computes it.
    pub fn start(epoch: i64, source: Arc<dyn StatusSource>, shutdown: &Shutdown) -> Arc<Self> {
        let status = Arc::new(Self { epoch, newest: watch::Sender::new(None), followed: Notify::new() });
        let running = Arc::clone(&status);
        shutdown.spawn_until_stopped("status", async move { running.run(&*source).await });
        status
    }

    async fn run(&self, source: &dyn StatusSource) {
        let (mut version, mut shown) = (0, None);
        loop {
            self.followed.notified().await;
            while self.newest.receiver_count() > 0 {
                let status = source.status().await;
                let is_changed = shown.as_ref() != Some(&status);
                version += u64::from(is_changed);
                if is_changed || self.newest_position().is_none() {
                    self.publish(version, &status);
                }
                shown = Some(status);
                tokio::select! {
                    () = tokio::time::sleep(REFRESH_INTERVAL) => {}
                    () = self.newest.closed() => {}
                }
            }
            // The next follower must not get what is old by then.
            self.newest.send_replace(None);
        }
    }

    fn publish(&self, version: u64, status: &InstanceStatus) {
        let position = Position { epoch: self.epoch, version };
        let frame = frames::status(position, status);
        let update = Update::new(UpdateKind::Write, Some(position), [frame].into());
        self.newest.send_replace(Some(Arc::new(update)));
    }

    /// A feed of it, from its newest state on, unless that is the one at `last`.
    pub fn follow(self: &Arc<Self>, last: Option<Position>) -> StatusFeed {
        let changes = WatchStream::from_changes(self.newest.subscribe());
        self.followed.notify_one();
        StatusFeed { status: Arc::clone(self), changes, position: last, seal: None }
    }

    /// Wakes every feed to look at something other than the status.
    pub fn wake_all(&self) {
        self.newest.send_modify(|_| {});
    }

    fn newest_position(&self) -> Option<Position> {
        self.newest.borrow().as_ref().and_then(|newest| newest.position)
    }
}

/// A feed of the instance's status: the newest one, and then each change.
#[derive(Debug)]
pub struct StatusFeed {
    status: Arc<StatusPublisher>,
    changes: WatchStream<Option<Arc<Update>>>,
    /// The position it was last handed; before, the one that its client claims to have.
    position: Option<Position>,
    /// For whom what it hands out is sealed, if they want that.
    seal: Option<(Sealing, TenantId)>,
}

impl StatusFeed {
    /// The same for a caller of that tenant.
    pub fn sealed_for(self, sealing: &Sealing, tenant: &TenantId) -> Self {
        let seal = sealing.has_secret().then(|| (sealing.clone(), tenant.clone()));
        Self { seal, ..self }
    }

    /// As its caller's tenant wants it: others share the one without a seal.
    fn sealed(&self, newest: &Arc<Update>) -> Arc<Update> {
        let resealed =
            self.seal.as_ref().and_then(|(sealing, tenant)| sealing.reseal(KeyScope::Tenant(tenant), &newest.frames));
        resealed.map_or_else(|| Arc::clone(newest), |frames| Arc::new(newest.with_frames(frames)))
    }
}

impl Feed for StatusFeed {
    fn session(&self) -> Option<&SessionId> {
        None
    }

    fn check_access(&self, principal: &Principal) -> Result<(), Close> {
        if principal.may(Access::FollowStatus) { Ok(()) } else { Err(Close::NotAllowed) }
    }

    fn position(&self) -> Option<Position> {
        // A position of another instance says nothing here.
        self.position.filter(|position| position.epoch == self.status.epoch)
    }

    fn is_up_to_date(&self) -> bool {
        self.status.newest_position().is_some_and(|newest| Some(newest) == self.position)
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Delivery> {
        // This is only to be woken; the newest status is elsewhere.
        while self.changes.poll_next_unpin(&mut Context::from_waker(context.waker())).is_ready() {}
        self.try_next().map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_placed(&mut self, context: &Context<'_>) -> Poll<Option<Delivery>> {
        match self.poll_next(context) {
            Poll::Ready(first) => Poll::Ready(Some(first)),
            Poll::Pending if self.is_up_to_date() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn try_next(&mut self) -> Option<Delivery> {
        let newest = self.status.newest.borrow().clone().filter(|newest| newest.position != self.position)?;
        self.position = newest.position;
        Some(Delivery::Update(self.sealed(&newest)))
    }

    fn resume(&mut self, last: Option<Position>) {
        self.position = last;
    }

    fn unavailable(&self) -> Option<Unavailable> {
        None
    }

    fn fresh(&self) -> Box<dyn Feed> {
        let fresh = self.status.follow(None);
        Box::new(Self { seal: self.seal.clone(), ..fresh })
    }
}
