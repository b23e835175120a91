//! `/sessions/{id}/ws` for one session, `/ws` for many, `/status/ws` for the instance itself.
//!
//! A browser is not shown why an upgrade fails, so what it must know is told by a
//! close code after an upgrade that succeeds.

use std::sync::Arc;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::handshake;
use super::request::{TicketUse, admitted, counted, params};
use crate::auth::Denied;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::principal::Principal;
use crate::fanout::Transport;
use crate::http::access;
use crate::http::extract::SessionPath;
use crate::http::routes::{Endpoint, Route, StreamEndpoint};
use crate::limits::StreamRefused;
use crate::net::admission::Peer;
use crate::stream::{Streams, ws};
use crate::wire::api_error::ApiError;
use crate::wire::close::Close;
use crate::wire::error_code::Code;

/// What a WebSocket is to follow.
enum Target {
    Session(SessionId),
    /// The sessions that its client names.
    Many,
    Status,
}

type HandlerResult = Result<Response, ApiError>;

/// `GET /sessions/{id}/ws`.
pub(super) async fn follow(State(streams): State<Arc<Streams>>, request: Request) -> HandlerResult {
    let (mut parts, _) = request.into_parts();
    let session = SessionPath::from_request_parts(&mut parts, &()).await.map(|SessionPath(session)| session);
    let caller = counted(&streams, &parts, TicketUse::Once).await?;
    if !handshake::is_asked_for(&parts.headers) {
        return Err(no_upgrade(caller, Some(session)));
    }
    match caller {
        Ok(principal) => {
            let seen = session.ok().filter(|session| principal.sees(session)).ok_or(Close::NoSuchSession);
            open(streams, parts, principal, seen.map(Target::Session)).await
        }
        Err(denied) => refuse(&streams, parts, refusal(denied)),
    }
}

/// `GET /ws`.
pub(super) async fn follow_many(State(streams): State<Arc<Streams>>, request: Request) -> HandlerResult {
    let (parts, _) = request.into_parts();
    let caller = counted(&streams, &parts, TicketUse::Once).await?;
    if !handshake::is_asked_for(&parts.headers) {
        return Err(no_upgrade(caller, None));
    }
    match caller {
        Ok(principal) => open(streams, parts, principal, Ok(Target::Many)).await,
        Err(denied) => refuse(&streams, parts, refusal(denied)),
    }
}

/// `GET /status/ws`.
pub(super) async fn follow_status(State(streams): State<Arc<Streams>>, request: Request) -> HandlerResult {
    let (parts, _) = request.into_parts();
    let caller = counted(&streams, &parts, TicketUse::Once).await?;
    if !handshake::is_asked_for(&parts.headers) {
        return Err(no_upgrade(caller, None));
    }
    match caller {
        Ok(principal) => {
            let allowed = access::check_role(streams.limits(), streams.security(), &parts, &principal);
            let allowed = allowed.map(|()| Target::Status).map_err(|_| Close::NotAllowed);
            open(streams, parts, principal, allowed).await
        }
        Err(denied) => refuse(&streams, parts, refusal(denied)),
    }
}

/// For the route of a session itself: an upgrade on it follows the session.
pub(in crate::http::v1) async fn upgrade_or_next(
    streams: State<Arc<Streams>>,
    mut request: Request,
    next: Next,
) -> Response {
    if handshake::is_asked_for(request.headers()) {
        if let Some(route) = Route::of_endpoint(Endpoint::Stream(StreamEndpoint::SocketOfSession)) {
            request.extensions_mut().insert(route);
        }
        return follow(streams, request).await.into_response();
    }
    next.run(request).await
}

/// What a request gets that asks for no upgrade.
fn no_upgrade(caller: Result<Arc<Principal>, Denied>, session: Option<Result<SessionId, ApiError>>) -> ApiError {
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

async fn open(
    streams: Arc<Streams>,
    mut parts: Parts,
    principal: Arc<Principal>,
    target: Result<Target, Close>,
) -> HandlerResult {
    let params = params(&streams, parts.uri.query())?;
    let target = target.and_then(|target| let_in(&streams, &parts, &principal).map(|()| target));
    let target = match target {
        Ok(_) if streams.is_stopping() => return refuse(&streams, parts, Close::GoingAway),
        Ok(target) => target,
        Err(close) => return refuse(&streams, parts, close),
    };
    let address = access::address(streams.limits(), &parts);
    let session = if let Target::Session(session) = &target { Some(session) } else { None };
    let permits = match streams.admit(&principal, address, session).await {
        Ok(permits) => permits,
        Err(StreamRefused::Full { .. }) => return refuse(&streams, parts, Close::TooManyConnections),
        Err(StreamRefused::Uncounted) => return refuse(&streams, parts, Close::StoreUnavailable),
    };
    let is_proxied = parts.extensions.get::<Arc<Peer>>().is_some_and(|peer| peer.is_proxy());
    let client = ws::Client { address, is_proxied, permits };
    let (response, takeover) = handshake::accept(&mut parts)?;
    let feed = match target {
        Target::Session(session) => {
            let key = SessionKey { tenant: principal.tenant.clone(), session };
            Some(streams.follow(&key, params.last, Transport::WebSocket))
        }
        Target::Status => Some(streams.follow_status(params.last)),
        Target::Many => None,
    };
    Ok(takeover.accept(response, ws::serve(streams, principal, feed, params, client)))
}

/// Whether the tenant lets the caller's address in, and there is a place for its connection.
fn let_in(streams: &Streams, parts: &Parts, principal: &Principal) -> Result<(), Close> {
    admitted(streams, parts, principal).map_err(|error| match error.0.of {
        Code::AddressDenied => Close::NotAllowed,
        _ => Close::TooManyConnections,
    })
}

/// By which code the client is told.
const fn refusal(denied: Denied) -> Close {
    match denied {
        Denied::Unknown => Close::StoreUnavailable,
        _ => Close::TokenRefused,
    }
}

fn refuse(streams: &Streams, mut parts: Parts, close: Close) -> HandlerResult {
    let (response, takeover) = handshake::accept(&mut parts)?;
    Ok(takeover.accept(response, ws::refuse(streams, close)))
}
