//! The frames a stream carries, written once and shared by all subscribers.
//!
//! One write is one message: its frames, each a JSON object on a line of its own.
//! No JSON text holds a bare line feed, so the lines can be told apart again
//! without being read.

use bytes::{BufMut as _, Bytes, BytesMut};
use memchr::{memchr, memmem};
use serde::Serialize;
use serde_json::value::RawValue;

use super::change::{Arguments, BankChange, Details, Turn};
use super::instant::Instant;
use super::sealed;
use super::snapshot::{self, GroupBody, ParticipantBody, Snapshot};
use crate::domain::id::{GroupId, ParticipantId, SessionId};
use crate::domain::position::Position;
use crate::domain::session::control::Action;
use crate::domain::session::event::{Change, Expired, Outcome};
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;

/// Separates the payload from what stands before it; no frame has it earlier.
const PAYLOAD: &[u8] = b",\"payload\":";

#[derive(Serialize)]
struct Frame<'a, P: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    session_id: &'a SessionId,
    position: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Event<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    payload: P,
}

/// What a `STATE_UPDATE` says happened.
#[derive(Serialize)]
struct Event<'a> {
    command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Arguments<'a>>,
    outcome: &'a Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<&'a Turn<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    banks: &'a [BankChange<'a>],
}

#[derive(Serialize)]
struct ExpiredBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_id: Option<&'a ParticipantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a GroupId>,
    expired_at: Instant,
    action: Action,
}

/// The frames of one change; `before` is the version it was made from.
pub fn of_change(command: &'static str, details: &Details<'_>, before: Option<&Session>, change: &Change) -> Bytes {
    let session = &change.session;
    let mut out = Vec::with_capacity(room(session));
    if session.status == Status::Deleted {
        write_frame(&mut out, "SESSION_DELETED", session, None, false, EmptyBody {});
        return out.into();
    }
    let Details { arguments, turn, banks } = details;
    let event = Event { command, arguments: *arguments, outcome: &change.outcome, turn: turn.as_ref(), banks };
    let event = Some(event);
    match before.and_then(|before| Partial::of(before, session)) {
        Some(partial) => write_frame(&mut out, "STATE_UPDATE", session, event, true, partial),
        None => write_frame(&mut out, "STATE_UPDATE", session, event, false, snapshot_of(session)),
    }
    for expired in &change.expired {
        out.push(b'\n');
        write_frame(&mut out, "TIME_EXPIRED", session, None, false, expired_body(expired));
    }
    out.into()
}

#[derive(Serialize)]
struct EmptyBody {}

fn snapshot_of(session: &Session) -> Snapshot<'_> {
    Snapshot::of(session, session.updated_at)
}

fn expired_body(expired: &Expired) -> ExpiredBody<'_> {
    ExpiredBody {
        participant_id: expired.participant_id.as_ref(),
        group_id: expired.group_id.as_ref(),
        expired_at: Instant(expired.at),
        action: expired.action,
    }
}

fn write_frame<P: Serialize>(
    out: &mut Vec<u8>,
    kind: &'static str,
    session: &Session,
    event: Option<Event<'_>>,
    partial: bool,
    payload: P,
) {
    let position = session.position.to_string();
    let frame = Frame { kind, session_id: &session.session_id, position, event, partial, payload };
    // Numbers, texts and maps with text keys, into memory: it cannot fail.
    let _ = serde_json::to_writer(out, &frame);
}

/// Where all clocks run at once: the session's own fields, and only what changed.
#[derive(Serialize)]
struct Partial<'a> {
    #[serde(flatten)]
    session: Snapshot<'a>,
    changed: Vec<ParticipantBody<'a>>,
    changed_groups: Vec<GroupBody<'a>>,
}

impl<'a> Partial<'a> {
    /// `None` where the whole snapshot is the better frame.
    fn of(before: &Session, after: &'a Session) -> Option<Self> {
        let same_roster = before.participants.len() == after.participants.len()
            && before.groups.len() == after.groups.len()
            && before.participants.iter().zip(&after.participants).all(|(a, b)| a.participant_id == b.participant_id);
        if !after.is_simultaneous() || !same_roster || before.status != after.status {
            return None;
        }
        let mut session = snapshot_of(after);
        let seats =
            (0..after.participants.len()).filter(|seat| before.participants[*seat] != after.participants[*seat]);
        let places = (0..after.groups.len()).filter(|place| before.groups[*place] != after.groups[*place]);
        session.participants = None;
        session.groups = None;
        Some(Self {
            session,
            changed: seats.map(|seat| snapshot::participant(after, seat)).collect(),
            changed_groups: places.map(|place| snapshot::group(after, place)).collect(),
        })
    }
}

/// A whole snapshot, as bytes.
pub fn snapshot(session: &Session, as_of: Timestamp) -> Bytes {
    let mut out = Vec::with_capacity(room(session));
    // Numbers, texts and maps with text keys: it always serialises.
    let _ = serde_json::to_writer(&mut out, &Snapshot::of(session, as_of));
    out.into()
}

/// A snapshot that is written already, with fields of `more` behind its own.
pub fn snapshot_and<T: Serialize>(snapshot: &[u8], more: &T) -> Bytes {
    let mut out = Vec::with_capacity(snapshot.len() + 256);
    out.extend_from_slice(snapshot);
    out.pop();
    let end = out.len();
    let _ = serde_json::to_writer(&mut out, more);
    // Two objects become one: the brace between them is a comma.
    if let Some(brace) = out.get_mut(end) {
        *brace = b',';
    }
    out.into()
}

/// The usual size of a snapshot, or of a frame with one.
fn room(session: &Session) -> usize {
    1_280 + 384 * session.participants.len()
}

/// A snapshot, ready to stand in another document.
pub fn raw_snapshot(session: &Session, as_of: Timestamp) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(&Snapshot::of(session, as_of)).ok()
}

/// `STATE_SYNC` with a snapshot that is written already.
pub fn state_sync(session_id: &SessionId, position: Position, snapshot: &[u8]) -> Bytes {
    let head = format!(r#"{{"type":"STATE_SYNC","session_id":"{session_id}","position":"{position}""#);
    let mut out = BytesMut::with_capacity(head.len() + PAYLOAD.len() + snapshot.len() + 1);
    out.put_slice(head.as_bytes());
    out.put_slice(PAYLOAD);
    out.put_slice(snapshot);
    out.put_u8(b'}');
    out.freeze()
}

/// `SESSION_DELETED`, where a read found the deletion and no frame announced it.
pub fn session_deleted(session_id: &SessionId, position: Position) -> Bytes {
    let head = r#"{"type":"SESSION_DELETED","session_id":""#;
    format!(r#"{head}{session_id}","position":"{position}","payload":{{}}}}"#).into()
}

/// The whole snapshot inside a message, if it has one.
pub fn snapshot_in(message: &Bytes) -> Option<Bytes> {
    let (head, payload) = split(&lines(message).next()?)?;
    let is_whole = head.starts_with(br#"{"type":"STATE_UPDATE""#) && !head.ends_with(br#""partial":true"#);
    is_whole.then_some(payload)
}

/// The payload of a frame, which stands last in it, before a seal.
pub fn payload_in(frame: &Bytes) -> Option<Bytes> {
    split(frame).map(|(_, payload)| payload)
}

/// What stands before the payload, and the payload.
fn split(frame: &Bytes) -> Option<(Bytes, Bytes)> {
    let at = memmem::find(frame, PAYLOAD)?;
    Some((frame.slice(..at), frame.slice(at + PAYLOAD.len()..sealed::inner_length(frame))))
}

/// Whether a message says that the session is gone.
pub fn is_deletion(message: &[u8]) -> bool {
    message.starts_with(br#"{"type":"SESSION_DELETED""#)
}

/// The frames of a message, one by one, without a copy.
pub fn lines(message: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut rest = message.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr(b'\n', &rest).unwrap_or(rest.len());
        let line = rest.split_to(end);
        if !rest.is_empty() {
            let _ = rest.split_to(1);
        }
        Some(line)
    })
}

/// `TIME_WARNING`: each instance sends it to its own subscribers, with no position.
pub fn warning(session_id: &SessionId, warning: &Warning) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        session_id: &'a SessionId,
        payload: &'a Warning,
    }
    let body = Body { kind: "TIME_WARNING", session_id, payload: warning };
    serde_json::to_vec(&body).unwrap_or_default().into()
}

/// A threshold reached, as an edge of a snapshot names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Warning {
    /// When.
    pub at: Instant,
    /// Whose clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant_id: Option<ParticipantId>,
    /// Whose clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    /// What the clock shows then.
    pub remaining_ms: i64,
}
