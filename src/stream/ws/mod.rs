//! WebSockets: for one feed, and for many sessions.

mod budget;
mod client;
mod codec;
mod commands;
mod connection;
mod followed_feed;
mod goodbye;
mod inbound;
mod keepalive;
mod placement;
mod rights;
mod socket;
mod subscriptions;
mod timers;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::BufMut as _;
use futures::FutureExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use self::connection::Connection;
use self::followed_feed::{PendingRequest, RequestKind};
use self::goodbye::goodbye;
use self::socket::Socket;
use self::subscriptions::Subscriptions;
use super::Streams;
use super::feed::Feed;
use super::frames::Regarding;
use super::params::StreamParams;
use crate::domain::principal::Principal;
use crate::limits::StreamPermits;
use crate::net::takeover::{Continuation, TakenConnection};
use crate::wire::close::Close;

/// Who is at the other end.
#[derive(Debug)]
pub struct Client {
    /// Where it calls from.
    pub address: IpAddr,
    /// A reverse proxy stands between.
    pub is_proxied: bool,
    /// Its places among the streams that there may be.
    pub permits: [StreamPermits; 2],
}

/// Serves a WebSocket on a connection that is handed over: one feed, or as many sessions as
/// the client names.
pub fn serve(
    streams: Arc<Streams>,
    principal: Arc<Principal>,
    feed: Option<Box<dyn Feed>>,
    params: StreamParams,
    client: Client,
) -> Continuation {
    Box::new(move |taken| {
        let subscriptions = match feed {
            Some(feed) => {
                let regarding = Regarding { id: None, session: feed.session().cloned() };
                let kind = RequestKind::Open { with_cursor: params.has_cursor() };
                Subscriptions::one(feed, PendingRequest { regarding, kind, by: streams.place_by() })
            }
            None => Subscriptions::many(&streams),
        };
        let socket = socket(taken);
        let connection = Box::new(Connection::new(streams, socket, principal, subscriptions, &params, client));
        Box::pin(connection.serve().map(|()| None))
    })
}

/// Tells the client by a close code why it gets no stream, and ends.
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
