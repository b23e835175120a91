//! WebSockets: for one session, and for many.
//!
//! A browser is not shown why an upgrade fails, so what it must know is told by a
//! close code after an upgrade that succeeds.

mod budget;
mod client;
mod codec;
mod commands;
mod connection;
mod handshake;
mod inbound;
mod keepalive;
mod placement;
mod session_feed;
mod socket;
mod subscriptions;
mod timers;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::BufMut as _;
use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use self::connection::Connection;
use self::session_feed::{PendingRequest, RequestKind};
use self::socket::Socket;
use self::subscriptions::Subscriptions;
use super::Streams;
use super::frames::Regarding;
use super::params::{StreamParams, admitted};
use crate::auth::Denied;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::principal::Principal;
use crate::http::connection::admission::Peer;
use crate::http::connection::takeover::TakenConnection;
use crate::http::error::ApiError;
use crate::http::extract::SessionPath;
use crate::wire::close::Close;
use crate::wire::problem::Code;

type Answered = Result<Response, ApiError>;

/// `GET /sessions/{id}/ws`.
pub(super) async fn follow(State(streams): State<Arc<Streams>>, request: Request) -> Answered {
    let (mut parts, _) = request.into_parts();
    let session = SessionPath::from_request_parts(&mut parts, &()).await.map(|SessionPath(session)| session);
    let caller = streams.caller(&parts)?;
    if !handshake::is_asked_for(&parts.headers) {
        return Err(plainly(caller, Some(session)));
    }
    match caller {
        Ok(principal) => {
            let seen = session.ok().filter(|session| principal.sees(session)).ok_or(Close::NoSuchSession);
            open(streams, parts, principal, seen.map(Some))
        }
        Err(_) => turn_away(&streams, parts, Close::TokenRefused),
    }
}

/// `GET /ws`.
pub(super) async fn follow_many(State(streams): State<Arc<Streams>>, request: Request) -> Answered {
    let (parts, _) = request.into_parts();
    let caller = streams.caller(&parts)?;
    if !handshake::is_asked_for(&parts.headers) {
        return Err(plainly(caller, None));
    }
    match caller {
        Ok(principal) => open(streams, parts, principal, Ok(None)),
        Err(_) => turn_away(&streams, parts, Close::TokenRefused),
    }
}

/// For the route of a session itself: an upgrade on it follows the session.
pub async fn upgrade_or_next(streams: State<Arc<Streams>>, request: Request, next: Next) -> Response {
    if handshake::is_asked_for(request.headers()) {
        return follow(streams, request).await.into_response();
    }
    next.run(request).await
}

/// What a request gets that asks for no upgrade.
fn plainly(caller: Result<Arc<Principal>, Denied>, session: Option<Result<SessionId, ApiError>>) -> ApiError {
    match (caller, session) {
        (Err(denied), _) => denied.into(),
        (Ok(_), Some(Err(no_session))) => no_session,
        (Ok(principal), Some(Ok(session))) if !principal.sees(&session) => ApiError::of(Code::SessionNotFound),
        _ => ApiError::with_detail(
            Code::Malformed,
            "this path takes a WebSocket upgrade; .../events and .../poll bring the same without one",
        ),
    }
}

fn open(
    streams: Arc<Streams>,
    mut parts: Parts,
    principal: Arc<Principal>,
    session: Result<Option<SessionId>, Close>,
) -> Answered {
    let opening = StreamParams::read(parts.uri.query(), streams.parts.timing.heartbeat)?;
    let session = match session {
        Ok(_) if streams.parts.shutdown.is_begun() => return turn_away(&streams, parts, Close::GoingAway),
        Ok(_) if admitted(&parts).is_err() => return turn_away(&streams, parts, Close::TooManyConnections),
        Ok(session) => session,
        Err(close) => return turn_away(&streams, parts, close),
    };
    let is_proxied = parts.extensions.get::<Arc<Peer>>().is_some_and(|peer| peer.is_proxy());
    let (response, handover) = handshake::accept(&mut parts)?;
    Ok(handover.accept(
        response,
        Box::new(move |taken| {
            let feed = match session {
                Some(session) => {
                    let regarding = Regarding { id: None, session: Some(session.clone()) };
                    let kind = RequestKind::Open { with_cursor: opening.has_cursor() };
                    let waiting = PendingRequest { regarding, kind, by: streams.place_by() };
                    let key = SessionKey { tenant: principal.tenant.clone(), session };
                    Subscriptions::one(&streams, &key, opening.last, waiting)
                }
                None => Subscriptions::many(&streams),
            };
            let connection = Box::new(Connection::new(streams, socket(taken), principal, feed, &opening, is_proxied));
            Box::pin(connection.serve().map(|()| None))
        }),
    ))
}

/// A connection that was handed over, as a WebSocket.
fn socket(taken: TakenConnection) -> Socket<TcpStream> {
    let TakenConnection { idle, mut head } = taken;
    head.put_slice(b"\r\n");
    Socket::new(idle.io, head.freeze(), &idle.read)
}

fn turn_away(streams: &Streams, mut parts: Parts, close: Close) -> Answered {
    let (response, handover) = handshake::accept(&mut parts)?;
    let within = streams.parts.timing.goodbye;
    Ok(handover.accept(
        response,
        Box::new(move |taken| {
            Box::pin(async move {
                let by = Instant::now() + within;
                let timer = std::pin::pin!(sleep_until(by));
                goodbye(&mut socket(taken), close, timer, by).await;
                None
            })
        }),
    ))
}

/// Says why, and waits a little until that was heard.
async fn goodbye<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    close: Close,
    mut timer: Pin<&mut Sleep>,
    by: Instant,
) {
    if close != Close::Normal {
        super::closed(close);
    }
    socket.send(codec::close(close));
    timer.as_mut().reset(by);
    poll_fn(|context| {
        if timer.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        socket.poll_goodbye(context)
    })
    .await;
}
