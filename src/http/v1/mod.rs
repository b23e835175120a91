//! The API, a file a resource.

mod batch;
mod commands;
mod history;
mod revocations;
mod security;
mod sessions;
mod settings;
mod streams;
mod tickets;
mod time;
mod timesync;
mod tokens;

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router};

use super::api::Api;
use super::routes::{Endpoint, Route, V1};
use crate::stream::Streams;

#[cfg(test)]
pub(crate) use self::streams::routes as stream_routes;

/// Every route of the API, below `/v1`: the rows of the table.
pub(super) fn routes(streams: &Arc<Streams>) -> Router<Arc<Api>> {
    V1.iter().fold(Router::new(), |router, route| router.route(route.path, handler(route, streams)))
}

/// What answers a route, with its row beside each request.
fn handler(route: &'static Route, streams: &Arc<Streams>) -> MethodRouter<Arc<Api>> {
    match route.endpoint {
        Endpoint::ReadTime => handled(route, time::read),
        Endpoint::ExchangeTime => handled(route, time::exchange),
        Endpoint::Timesync => handled(route, timesync::answer),
        Endpoint::ListSessions => handled(route, history::list),
        Endpoint::CreateSession => handled(route, sessions::create),
        Endpoint::Batch => handled(route, batch::batch),
        Endpoint::ReadSession => {
            let upgrades = from_fn_with_state(Arc::clone(streams), streams::ws::upgrade_or_next);
            handled(route, sessions::read).layer(upgrades)
        }
        Endpoint::DeleteSession => handled(route, sessions::delete),
        Endpoint::CloneSession => handled(route, sessions::clone),
        Endpoint::SignToken => handled(route, tokens::sign),
        Endpoint::History => handled(route, history::history),
        Endpoint::At => handled(route, history::at),
        Endpoint::AddParticipant => handled(route, sessions::add_participant),
        Endpoint::ChangeParticipant => handled(route, sessions::change_participant),
        Endpoint::RemoveParticipant => handled(route, sessions::remove_participant),
        Endpoint::Command => handled(route, sessions::command),
        Endpoint::ReadSettings => handled(route, settings::read),
        Endpoint::ChangeSettings => handled(route, settings::change),
        Endpoint::ListRevocations => handled(route, revocations::list),
        Endpoint::AddRevocation => handled(route, revocations::add),
        Endpoint::RemoveRevocation => handled(route, revocations::remove),
        Endpoint::SecurityEvents => handled(route, security::events),
        Endpoint::IssueTicket => handled(route, tickets::issue),
        Endpoint::Stream(stream) => streams::handler(route, stream).with_state(Arc::clone(streams)),
        // They are not below `/v1`.
        Endpoint::Health | Endpoint::Ready => MethodRouter::new(),
    }
}

fn handled<H, T, S>(route: &'static Route, handler: H) -> MethodRouter<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    let method = Method::from_bytes(route.method.as_bytes()).ok();
    let filter = method.and_then(|method| MethodFilter::try_from(method).ok());
    on(filter.unwrap_or(MethodFilter::GET), handler.layer(Extension(route)))
}
