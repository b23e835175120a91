//! Server-sent events: what one stream tells of the sessions it follows.
//!
//! `id:` is the position and stands on the last frame of a write, so that a client
//! that comes back either had all of a write or gets all of it again. Where a few
//! sessions share a stream it holds the position in each, in the order asked for.

mod body;
mod connection;
mod events;

use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use tokio::time::Instant;

pub use self::events::{SseClient, SseEvents};
use self::events::{WatchList, WatchedFeed};
use super::Streams;
use super::feed::Feed;
use super::params::StreamParams;
use super::placement::{PlacementError, has_ended};
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Encoding, Transport, Unavailable, Update};
use crate::net::stream_end::StreamEnd;
use crate::net::takeover::Continuation;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

impl SseEvents {
    /// Looks the sessions up and begins; each has its own cursor in `cursors`.
    ///
    /// # Errors
    /// None of the sessions can be followed, and why.
    pub async fn open(
        streams: &Arc<Streams>,
        mut client: SseClient,
        sessions: Vec<SessionId>,
        cursors: &[Option<Position>],
        params: &StreamParams,
        encoding: Encoding,
    ) -> Result<Self, ApiError> {
        for session in sessions.iter().filter(|session| client.principal.sees(session)) {
            if let Some(counting) = streams.watch(&client.principal, session) {
                client.permits.push(counting.await?);
            }
        }
        let watched = streams.watched(&client.principal, sessions, cursors).await?;
        Ok(Self::begin(Arc::clone(streams), watched, client, params, encoding))
    }

    /// Begins with one feed; its caller has seen `last`.
    ///
    /// # Errors
    /// The feed has no place, and why.
    pub async fn open_one(
        streams: &Arc<Streams>,
        client: SseClient,
        mut feed: Box<dyn Feed>,
        last: Option<Position>,
        params: &StreamParams,
        encoding: Encoding,
    ) -> Result<Self, ApiError> {
        let first = match streams.find(&mut *feed, last, streams.place_by()).await {
            Lookup::Here(first) => first,
            Lookup::Nowhere => return Err(ApiError::of(Code::SessionNotFound)),
            Lookup::NotYet(why) => return Err(why.into()),
        };
        let watched = WatchList { watches: vec![WatchedFeed { feed, first, index: 0 }], unknown: Vec::new(), asked: 1 };
        Ok(Self::begin(Arc::clone(streams), watched, client, params, encoding))
    }

    /// Goes on with the connection itself, so that nothing is held for a stream that waits.
    pub fn on_connection(self) -> Continuation {
        Box::new(|taken| connection::serve(self, taken))
    }

    /// The pieces of a body that the library writes. `end` ends an HTTP/2 stream that nobody
    /// reads; an HTTP/1 connection has a deadline for that.
    pub fn into_pieces(self, end: Option<StreamEnd>) -> impl Stream<Item = Bytes> + use<> {
        body::pieces(self, end)
    }
}

impl Streams {
    /// Looks sessions up side by side, and waits for them no longer than for one. Those that
    /// are not there are told of; one that cannot be read yet comes when it can. Refused is
    /// only what leaves nothing to follow.
    async fn watched(
        &self,
        principal: &Principal,
        sessions: Vec<SessionId>,
        cursors: &[Option<Position>],
    ) -> Result<WatchList, ApiError> {
        let (by, asked) = (self.place_by(), sessions.len());
        let subscribe = |(session, last): (SessionId, &Option<_>)| {
            let key = principal
                .sees(&session)
                .then(|| SessionKey { tenant: principal.tenant.clone(), session: session.clone() });
            (session, key.map(|key| self.follow(&key, *last, Transport::Sse)), *last)
        };
        let subscribed: Vec<_> = sessions.into_iter().zip(cursors).map(subscribe).collect();
        let (mut watched, mut failure) = (WatchList { watches: Vec::new(), unknown: Vec::new(), asked }, None);
        let mut is_any_here = false;
        for (index, (session, feed, last)) in subscribed.into_iter().enumerate() {
            let Some(mut feed) = feed else {
                watched.unknown.push(session);
                continue;
            };
            let first = match self.find(&mut *feed, last, by).await {
                Lookup::Here(first) => {
                    is_any_here = true;
                    first
                }
                Lookup::NotYet(why) => {
                    failure = Some(why);
                    None
                }
                Lookup::Nowhere => {
                    watched.unknown.push(session);
                    continue;
                }
            };
            watched.watches.push(WatchedFeed { feed, first, index });
        }
        match failure {
            _ if is_any_here => Ok(watched),
            Some(why) => Err(why.into()),
            None => Err(ApiError::of(Code::SessionNotFound)),
        }
    }

    async fn find(&self, feed: &mut dyn Feed, last: Option<Position>, by: Instant) -> Lookup {
        match self.placed(feed, by).await {
            Ok(Some(Delivery::Update(first))) if !has_ended(&first, last) => Lookup::Here(Some(first)),
            Ok(Some(_)) => Lookup::Nowhere,
            // A stop it is told of like streams that are open already.
            Ok(None) | Err(PlacementError::GoingAway) => Lookup::Here(None),
            Err(PlacementError::Unavailable(why)) => Lookup::NotYet(why),
        }
    }
}

/// What is found of a session that a stream is to follow.
enum Lookup {
    /// It has its place, and this comes first.
    Here(Option<Arc<Update>>),
    /// It is not there, or has ended.
    Nowhere,
    /// It cannot be read yet.
    NotYet(Unavailable),
}
