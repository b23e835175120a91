//! How following a session begins, or does not: one answer to each frame that asked for it.

use tokio::time::Instant;

use super::connection::{Connection, End};
use super::followed_feed::{PendingRequest, Rejection, RequestKind, SubscriptionEvent};
use super::socket::Wire;
use super::subscriptions::Subscriptions;
use crate::domain::id::SessionId;
use crate::fanout::{Update, UpdateKind};
use crate::limits::StreamRefused;
use crate::stream::frames;
use crate::stream::frames::Regarding;
use crate::wire::api_error::ApiError;
use crate::wire::close::Close;
use crate::wire::error_code::Code;

impl<S: Wire> Connection<S> {
    /// A session has its place. A whole state that comes first stands for what was missed.
    pub(super) fn session_placed(&mut self, waiting: &[PendingRequest], first: Option<&Update>) {
        let resumed = first.is_none_or(|told| told.kind != UpdateKind::State);
        for waiting in waiting {
            self.say_placed(waiting, resumed);
        }
        if let Some(told) = first {
            self.send_update(told);
        }
        if let Subscriptions::One(_) = self.subscriptions {
            self.place_by = None;
        }
    }

    fn say_placed(&mut self, PendingRequest { regarding, kind, .. }: &PendingRequest, resumed: bool) {
        let nobody = Regarding { id: None, session: regarding.session.clone() };
        match kind {
            RequestKind::Open { with_cursor: false } => {}
            RequestKind::Open { with_cursor: true } => self.send(&frames::reconnect_ack(&nobody, resumed)),
            RequestKind::Reconnect => self.send(&frames::reconnect_ack(regarding, resumed)),
            RequestKind::Subscribe { with_cursor } => {
                self.acknowledge(regarding);
                if *with_cursor {
                    self.send(&frames::reconnect_ack(&nobody, resumed));
                }
            }
        }
    }

    /// A session has no place. One that is not there, or was never shown, is left.
    pub(super) fn session_not_placed(
        &mut self,
        session: Option<&SessionId>,
        waiting: &[PendingRequest],
        why: Rejection,
    ) -> Result<(), End> {
        let (problem, close) = match why {
            Rejection::Uncounted(refused) => {
                let close = match refused {
                    StreamRefused::Full { .. } => Close::TooManyConnections,
                    StreamRefused::Uncounted => Close::StoreUnavailable,
                };
                (refused.into(), close)
            }
            Rejection::Missing => (ApiError::of(Code::SessionNotFound), Close::NoSuchSession),
            Rejection::Unavailable { reason, is_new: true } => (reason.into(), Close::StoreUnavailable),
            Rejection::Unavailable { is_new: false, .. } => {
                // It is followed still: its state comes as soon as it is known.
                for waiting in waiting {
                    self.say_placed(waiting, false);
                }
                return Ok(());
            }
        };
        self.refuse(waiting, &problem);
        match &mut self.subscriptions {
            Subscriptions::One(_) => Err(close.into()),
            Subscriptions::Many(many) => {
                session.map(|session| many.leave(session));
                Ok(())
            }
        }
    }

    /// Whoever opened the stream of one session is told by its end.
    pub(super) fn refuse(&mut self, waiting: &[PendingRequest], problem: &ApiError) {
        for PendingRequest { regarding, kind, .. } in waiting {
            if !matches!(kind, RequestKind::Open { .. }) {
                self.send_error(regarding, (*problem.0).clone());
            }
        }
    }

    /// Nobody waits longer for a place than a stream may wait for its first state.
    pub(super) fn give_up_places(&mut self, now: Instant) -> Result<(), End> {
        while let Some(SubscriptionEvent::NotPlaced(session, waiting, why)) = self.subscriptions.take_overdue(now) {
            self.session_not_placed(session.as_ref(), &waiting, why)?;
        }
        self.place_by = self.subscriptions.waits_until();
        Ok(())
    }
}
