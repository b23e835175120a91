//! WebSockets: for one session, and for many.

mod budget;
mod client;
mod codec;
mod commands;
mod connection;
mod goodbye;
mod inbound;
mod keepalive;
mod placement;
mod session_feed;
mod socket;
mod subscriptions;
mod timers;

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;

use bytes::BufMut as _;
use futures::FutureExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use self::connection::Connection;
use self::goodbye::goodbye;
use self::session_feed::{PendingRequest, RequestKind};
use self::socket::Socket;
use self::subscriptions::Subscriptions;
use super::Streams;
use super::frames::Regarding;
use super::params::StreamParams;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::principal::Principal;
use crate::net::takeover::{Continuation, TakenConnection};
use crate::wire::close::Close;

/// Serves a WebSocket on a connection that is handed over: of that session, or of as many
/// as the client names.
#[must_use]
pub fn serve(
    streams: Arc<Streams>,
    principal: Arc<Principal>,
    session: Option<SessionId>,
    params: StreamParams,
    is_proxied: bool,
) -> Continuation {
    Box::new(move |taken| {
        let feed = match session {
            Some(session) => {
                let regarding = Regarding { id: None, session: Some(session.clone()) };
                let kind = RequestKind::Open { with_cursor: params.has_cursor() };
                let waiting = PendingRequest { regarding, kind, by: streams.place_by() };
                let key = SessionKey { tenant: principal.tenant.clone(), session };
                Subscriptions::one(&streams, &key, params.last, waiting)
            }
            None => Subscriptions::many(&streams),
        };
        let connection = Box::new(Connection::new(streams, socket(taken), principal, feed, &params, is_proxied));
        Box::pin(connection.serve().map(|()| None))
    })
}

/// Tells the client by a close code why it gets no stream, and ends.
#[must_use]
pub fn refuse(streams: &Streams, close: Close) -> Continuation {
    let within = streams.parts.timing.goodbye;
    Box::new(move |taken| {
        Box::pin(async move {
            let by = Instant::now() + within;
            goodbye(&mut socket(taken), close, pin!(sleep_until(by)), by).await;
            None
        })
    })
}

/// A connection that was handed over, as a WebSocket.
fn socket(taken: TakenConnection) -> Socket<TcpStream> {
    let TakenConnection { idle, mut head } = taken;
    head.put_slice(b"\r\n");
    Socket::new(idle.io, head.freeze(), &idle.read)
}
