//! The table of every route: who may use it, what it reaches, and what it costs.
//!
//! The router is built from this table, so a route without a row is not served. No library's
//! type stands here: `http/v1` gives each endpoint its handler. Rights of commands, and the
//! fields that a role may name in them, stand in [`crate::domain::access`].

use self::StreamEndpoint::{
    EventsOfMany, EventsOfSession, EventsOfStatus, PollOfSession, PollOfStatus, SocketOfMany, SocketOfSession,
    SocketOfStatus,
};
use super::accept::{EVENTS, Forms, JSON, NONE};
use crate::domain::access::CommandRight;
use crate::domain::principal::{Principal, Role};
use crate::limits::Class;

/// Longest body, unless a route says otherwise.
pub const MAX_BODY: usize = 64 * 1024;

/// Longest body of what may list many.
const MAX_LONG_BODY: usize = 1024 * 1024;

/// Longest body of what takes a few numbers, from anybody: no token is needed there.
const MAX_SHORT_BODY: usize = 4 * 1024;

/// What answers. Each has one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table beside each says what it answers")]
pub enum Endpoint {
    Health,
    Ready,
    ReadTime,
    ExchangeTime,
    Timesync,
    ListSessions,
    CreateSession,
    Batch,
    ReadSession,
    DeleteSession,
    CloneSession,
    SignToken,
    History,
    At,
    AddParticipant,
    ChangeParticipant,
    RemoveParticipant,
    Command,
    ReadSettings,
    ChangeSettings,
    ListRevocations,
    AddRevocation,
    RemoveRevocation,
    SecurityEvents,
    IssueTicket,
    Stream(StreamEndpoint),
}

/// What answers with a stream: of many sessions, of the instance, of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table beside each says what it answers")]
pub enum StreamEndpoint {
    SocketOfMany,
    EventsOfMany,
    SocketOfStatus,
    EventsOfStatus,
    PollOfStatus,
    SocketOfSession,
    EventsOfSession,
    PollOfSession,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Anybody; no token is looked at.
    Anyone,
    /// A caller of that role or one above it.
    Least(Role),
    /// A caller who may send the command that the path ends with.
    CommandInPath,
}

/// What a route reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Nothing of a tenant.
    Service,
    /// What the caller's tenant has, less what its token does not open.
    Tenant,
    /// The caller's tenant itself: a token for some sessions does not open it.
    WholeTenant,
    /// The session in the path, which the caller's token must open.
    Session,
}

/// How often a request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Once.
    One,
    /// Once, and each of its commands once as a command.
    Commands,
    /// Once, and each session that it names once as a read.
    Sessions,
    /// Once for each hundred rows that a page may hold.
    Rows,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// What answers.
    pub endpoint: Endpoint,
    /// Its method.
    pub method: &'static str,
    /// Its path: below `/v1`, or from the root for [`ROOT`].
    pub path: &'static str,
    /// Who may use it.
    pub right: Right,
    /// What it reaches.
    pub scope: Scope,
    /// What limits it; `None` is never limited.
    pub class: Option<Class>,
    /// How often it counts.
    pub weight: Weight,
    /// The longest body it takes.
    pub max_body: usize,
    /// The forms it answers in.
    pub forms: Forms,
}

/// The routes below `/v1`, and below its other names.
pub const V1: &[Route] = &[
    get(Endpoint::ReadTime, "/time", Right::Anyone, Class::Read).of(Scope::Service),
    post(Endpoint::ExchangeTime, "/time", Right::Anyone, Class::Read).of(Scope::Service).body(MAX_SHORT_BODY),
    post(Endpoint::Timesync, "/timesync", Right::Anyone, Class::Read).of(Scope::Service).body(MAX_SHORT_BODY),
    get(Endpoint::ListSessions, "/sessions", VIEWER, Class::Bulk).of(Scope::Tenant).weighs(Weight::Rows),
    post(Endpoint::CreateSession, "/sessions", OPERATOR, Class::Command).of(Scope::Tenant).body(MAX_LONG_BODY),
    post(Endpoint::Batch, "/sessions/batch", VIEWER, Class::Bulk)
        .of(Scope::Tenant)
        .body(MAX_LONG_BODY)
        .weighs(Weight::Commands),
    get(Endpoint::ReadSession, "/sessions/{id}", VIEWER, Class::Read),
    row(Endpoint::DeleteSession, "DELETE", "/sessions/{id}", OPERATOR, Class::Command).answers(NONE),
    post(Endpoint::CloneSession, "/sessions/{id}/clone", OPERATOR, Class::Command),
    post(Endpoint::SignToken, "/sessions/{id}/tokens", OPERATOR, Class::Command),
    get(Endpoint::History, "/sessions/{id}/history", VIEWER, Class::Bulk).weighs(Weight::Rows),
    get(Endpoint::At, "/sessions/{id}/at", VIEWER, Class::Read),
    post(Endpoint::AddParticipant, "/sessions/{id}/participants", OPERATOR, Class::Command),
    row(Endpoint::ChangeParticipant, "PATCH", PARTICIPANT_PATH, OPERATOR, Class::Command),
    row(Endpoint::RemoveParticipant, "DELETE", PARTICIPANT_PATH, OPERATOR, Class::Command),
    post(Endpoint::Command, "/sessions/{id}/{command}", Right::CommandInPath, Class::Command),
    get(Endpoint::ReadSettings, "/settings", ADMIN, Class::Read).of(Scope::WholeTenant),
    row(Endpoint::ChangeSettings, "PATCH", "/settings", ADMIN, Class::Command).of(Scope::WholeTenant),
    get(Endpoint::ListRevocations, "/revocations", ADMIN, Class::Bulk).of(Scope::WholeTenant).weighs(Weight::Rows),
    post(Endpoint::AddRevocation, "/revocations", ADMIN, Class::Command).of(Scope::WholeTenant),
    row(Endpoint::RemoveRevocation, "DELETE", "/revocations/{id}", ADMIN, Class::Command)
        .of(Scope::WholeTenant)
        .answers(NONE),
    get(Endpoint::SecurityEvents, "/security/events", ADMIN, Class::Bulk)
        .of(Scope::WholeTenant)
        .weighs(Weight::Rows),
    post(Endpoint::IssueTicket, "/tickets", VIEWER, Class::Command).of(Scope::Tenant),
    stream(SocketOfMany, "/ws", VIEWER, Class::Connect).of(Scope::Tenant).answers(NONE),
    stream(EventsOfMany, "/events", VIEWER, Class::Connect)
        .of(Scope::Tenant)
        .weighs(Weight::Sessions)
        .answers(EVENTS),
    stream(SocketOfStatus, "/status/ws", OPERATOR, Class::Connect).of(Scope::Service).answers(NONE),
    stream(EventsOfStatus, "/status/events", OPERATOR, Class::Connect).of(Scope::Service).answers(EVENTS),
    stream(PollOfStatus, "/status/poll", OPERATOR, Class::Read).of(Scope::Service),
    stream(SocketOfSession, "/sessions/{id}/ws", VIEWER, Class::Connect).answers(NONE),
    stream(EventsOfSession, "/sessions/{id}/events", VIEWER, Class::Connect).answers(EVENTS),
    stream(PollOfSession, "/sessions/{id}/poll", VIEWER, Class::Read),
];

/// The routes from the root on, but for the files of the page: those belong to nobody.
pub const ROOT: &[Route] = &[
    get(Endpoint::Health, "/health", Right::Anyone, Class::Read).unlimited(),
    get(Endpoint::Ready, "/ready", Right::Anyone, Class::Read).unlimited(),
];

const VIEWER: Right = Right::Least(Role::Viewer);
const OPERATOR: Right = Right::Least(Role::Operator);
const ADMIN: Right = Right::Least(Role::Admin);
const PARTICIPANT_PATH: &str = "/sessions/{id}/participants/{participant_id}";

const fn row(endpoint: Endpoint, method: &'static str, path: &'static str, right: Right, class: Class) -> Route {
    Route {
        endpoint,
        method,
        path,
        right,
        scope: Scope::Session,
        class: Some(class),
        weight: Weight::One,
        max_body: MAX_BODY,
        forms: JSON,
    }
}

const fn get(endpoint: Endpoint, path: &'static str, right: Right, class: Class) -> Route {
    row(endpoint, "GET", path, right, class)
}

const fn post(endpoint: Endpoint, path: &'static str, right: Right, class: Class) -> Route {
    row(endpoint, "POST", path, right, class)
}

const fn stream(endpoint: StreamEndpoint, path: &'static str, right: Right, class: Class) -> Route {
    row(Endpoint::Stream(endpoint), "GET", path, right, class)
}

impl Route {
    const fn of(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    const fn body(self, max_body: usize) -> Self {
        Self { max_body, ..self }
    }

    const fn weighs(self, weight: Weight) -> Self {
        Self { weight, ..self }
    }

    const fn answers(self, forms: Forms) -> Self {
        Self { forms, ..self }
    }

    const fn unlimited(self) -> Self {
        Self { class: None, scope: Scope::Service, ..self }
    }

    /// The row of an endpoint below `/v1`.
    pub fn of_endpoint(endpoint: Endpoint) -> Option<&'static Self> {
        V1.iter().find(|route| route.endpoint == endpoint)
    }

    /// The row that answers a method at a path as the router matched it, under any of its names.
    pub fn matched(path: &str, method: &str) -> Option<&'static Self> {
        let method = if method == "HEAD" { "GET" } else { method };
        let below = ["/api/v1", "/v1", "/api"].iter().find_map(|name| path.strip_prefix(name));
        let (rows, path) = below.map_or((ROOT, path), |below| (V1, below));
        rows.iter().find(|route| route.path == path && route.method == method)
    }

    /// Whether the caller's role has the right. What belongs to a session is asked of the session.
    ///
    /// A command that is none passes: its handler says which there are.
    pub fn admits(&self, caller: &Principal, path: &str) -> bool {
        let least = match self.right {
            Right::Anyone => return true,
            Right::Least(role) => role,
            Right::CommandInPath => {
                let name = path.rsplit('/').next().unwrap_or_default();
                CommandRight::named(name).map_or(Role::Viewer, |right| right.least_role)
            }
        };
        caller.role >= least && (self.scope != Scope::WholeTenant || caller.sessions.is_none())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_endpoint_and_each_method_of_a_path_has_one_row() {
        let rows = || V1.iter().chain(ROOT);
        let endpoints: HashSet<_> = rows().map(|route| route.endpoint).collect();
        let places: HashSet<_> = rows().map(|route| (route.method, route.path)).collect();
        assert_eq!((endpoints.len(), places.len()), (rows().count(), rows().count()));
    }

    #[test]
    fn a_matched_path_is_found_under_each_of_its_names() {
        let found = |path: &str, method: &str| Route::matched(path, method).map(|route| route.endpoint);
        for name in ["/v1", "/api/v1", "/api"] {
            assert_eq!(found(&format!("{name}/sessions/{{id}}"), "GET"), Some(Endpoint::ReadSession), "{name}");
            assert_eq!(found(&format!("{name}/ws"), "HEAD"), Some(Endpoint::Stream(SocketOfMany)), "{name}");
        }
        assert_eq!(found("/health", "GET"), Some(Endpoint::Health));
        assert_eq!(found("/v1/health", "GET"), None);
        assert_eq!(found("/v1/sessions", "PATCH"), None);
    }

    #[test]
    fn only_what_names_a_session_has_one_in_its_path() {
        for route in V1 {
            let has_session = route.path.starts_with("/sessions/{id}");
            assert_eq!(route.scope == Scope::Session, has_session, "{}", route.path);
        }
    }

    #[test]
    fn all_but_health_and_readiness_are_limited() {
        assert!(V1.iter().all(|route| route.class.is_some()));
        assert!(ROOT.iter().all(|route| route.class.is_none()));
    }
}
