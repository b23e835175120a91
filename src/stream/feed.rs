//! What a stream carries.
//!
//! A transport knows a [`Feed`] and nothing behind it: a session's updates, or the status of
//! this instance. Each transport works with every feed.

use std::fmt;
use std::task::{Context, Poll};

use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Subscription, Unavailable};
use crate::wire::close::Close;

/// Updates in order, from a position on.
///
/// A feed has its place once its present state is known. It costs nothing but this value
/// while its stream waits.
pub trait Feed: fmt::Debug + Send + Sync {
    /// The session that its frames are about, if it is one session's.
    fn session(&self) -> Option<&SessionId>;

    /// Whether `principal` may go on with it.
    ///
    /// # Errors
    /// The reason for which its stream closes.
    fn check_access(&self, principal: &Principal) -> Result<(), Close>;

    /// The position it was last handed, or has resumed from; `None` before it has its place.
    fn position(&self) -> Option<Position>;

    /// Whether there is nothing more to hand out now.
    fn is_up_to_date(&self) -> bool;

    /// The next delivery, if it is there. The waker stays until another replaces it. A stop of
    /// the instance wakes it too.
    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Delivery>;

    /// Ready once it has its place, or will never have one; with the first delivery, if that is
    /// there already. A feed that is up to date gets its place and no delivery.
    fn poll_placed(&mut self, context: &Context<'_>) -> Poll<Option<Delivery>>;

    /// The next delivery, if it is there.
    fn try_next(&mut self) -> Option<Delivery>;

    /// Goes on after `last`, as if it began now.
    fn resume(&mut self, last: Option<Position>);

    /// Why it has no place yet, if that is known. After this call the next failure wakes it.
    fn unavailable(&self) -> Option<Unavailable>;

    /// Another feed of the same, which begins with the newest state.
    fn fresh(&self) -> Box<dyn Feed>;
}

impl Feed for Subscription {
    fn session(&self) -> Option<&SessionId> {
        Some(&self.key().session)
    }

    fn check_access(&self, principal: &Principal) -> Result<(), Close> {
        if principal.sees(&self.key().session) { Ok(()) } else { Err(Close::NoSuchSession) }
    }

    fn position(&self) -> Option<Position> {
        self.position()
    }

    fn is_up_to_date(&self) -> bool {
        self.is_up_to_date()
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Delivery> {
        self.poll_next(context)
    }

    fn poll_placed(&mut self, context: &Context<'_>) -> Poll<Option<Delivery>> {
        self.poll_placed(context)
    }

    fn try_next(&mut self) -> Option<Delivery> {
        self.try_next()
    }

    fn resume(&mut self, last: Option<Position>) {
        self.resume(last);
    }

    fn unavailable(&self) -> Option<Unavailable> {
        self.unavailable()
    }

    fn fresh(&self) -> Box<dyn Feed> {
        Box::new(self.fresh())
    }
}
