//! The table of frames that a client may send: the least role, what it reaches, what limits it.
//!
//! A frame counts as a request does. Whoever opens a stream may send each of these; what
//! a `COMMAND` asks for has a right of its own, in [`crate::domain::access`].

use super::client::ClientRequest;
use crate::domain::principal::Role;
use crate::limits::Class;

/// What one kind of frame asks of its sender.
#[derive(Debug, PartialEq, Eq)]
pub struct FrameRight {
    /// Its type.
    pub kind: &'static str,
    /// The least role that may send it.
    pub least_role: Role,
    /// It is about a session, which the sender's token must open.
    pub is_of_session: bool,
    /// What limits it.
    pub class: Class,
}

const PING: FrameRight = row("PING", false, Class::Read);
const RECONNECT: FrameRight = row("RECONNECT", true, Class::Read);
const COMMAND: FrameRight = row("COMMAND", true, Class::Command);
const AUTH: FrameRight = row("AUTH", false, Class::Read);
const SUBSCRIBE: FrameRight = row("SUBSCRIBE", true, Class::Read);
const UNSUBSCRIBE: FrameRight = row("UNSUBSCRIBE", true, Class::Read);

const fn row(kind: &'static str, is_of_session: bool, class: Class) -> FrameRight {
    FrameRight { kind, least_role: Role::Viewer, is_of_session, class }
}

/// The row of a frame.
pub const fn right(wanted: &ClientRequest) -> &'static FrameRight {
    match wanted {
        ClientRequest::Ping { .. } => &PING,
        ClientRequest::Reconnect { .. } => &RECONNECT,
        ClientRequest::Command(_) => &COMMAND,
        ClientRequest::Auth { .. } => &AUTH,
        ClientRequest::Subscribe { .. } => &SUBSCRIBE,
        ClientRequest::Unsubscribe => &UNSUBSCRIBE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_has_the_row_of_its_type() {
        for (text, expected) in [
            (r#"{"type": "PING"}"#, PING),
            (r#"{"type": "RECONNECT", "last_known_version": 1}"#, RECONNECT),
            (r#"{"type": "COMMAND", "command": "start"}"#, COMMAND),
            (r#"{"type": "AUTH", "token": "t"}"#, AUTH),
            (r#"{"type": "SUBSCRIBE", "session_id": "s"}"#, SUBSCRIBE),
            (r#"{"type": "UNSUBSCRIBE", "session_id": "s"}"#, UNSUBSCRIBE),
        ] {
            let frame = super::super::client::read(text).unwrap();
            assert_eq!(right(&frame.wanted), &expected, "{text}");
            assert!(text.contains(expected.kind));
        }
    }
}
