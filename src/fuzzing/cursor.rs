//! Cursors as they come: positions, lists of them, entity tags, and the queries that hold them.

use std::time::Duration;

use super::first_and_text;
use crate::domain::position::{InvalidPosition, Position};
use crate::http::extract::position_in;
use crate::http::query::{self, Query};
use crate::http::v1::{history, request, sse};

/// Sessions that a list of cursors may be for.
const MAX_SESSIONS: usize = 8;

/// Where none is asked for.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The first byte says for how many sessions a list of cursors is.
pub fn check(input: &[u8]) {
    let Some((choice, text)) = first_and_text(input) else { return };
    let sessions = usize::from(choice) % MAX_SESSIONS;
    position(text);
    list(text, sessions);
    stream(text, sessions);
    page(text);
}

/// What was read is written as something that reads the same.
fn position(text: &str) {
    for position in [text.parse(), position_in(text).ok_or(InvalidPosition)] {
        let Ok(position) = position else { continue };
        survives(position);
    }
}

fn survives(position: Position) {
    assert_eq!(position.to_string().parse(), Ok(position), "another position once written");
}

/// There is one place for each session, and what fills it stands in the text.
fn list(text: &str, sessions: usize) {
    let cursors = sse::cursors(std::iter::once(text), sessions);
    assert_eq!(cursors.len(), sessions, "a cursor for each session");
    cursors.into_iter().flatten().for_each(survives);
}

fn stream(text: &str, sessions: usize) {
    let Ok(params) = request::read(Some(text), HEARTBEAT) else { return };
    assert!(params.cursors.len() <= 3, "more cursors than names for them");
    let bounds = request::HEARTBEAT_RANGE_MS;
    let heartbeat_ms = u64::try_from(params.heartbeat.as_millis()).expect("it was read as one");
    assert!(bounds.contains(&heartbeat_ms), "a heartbeat out of bounds");
    let named = sse::cursors(params.cursors.iter().map(String::as_str), sessions);
    assert_eq!(named.len(), sessions, "a cursor for each session");
}

fn page(text: &str) {
    let Ok(mut query) = Query::of(Some(text)) else { return };
    let Ok(limit) = query::limit(&mut query) else { return };
    assert!((1..=1_000).contains(&limit), "a page of {limit}");
    let Ok(filter) = history::filter(&mut query) else { return };
    assert!(filter.metadata.len() <= 8, "{} labels", filter.metadata.len());
    assert!(filter.sessions.is_none(), "which sessions one may see is no parameter");
}
