//! The table of frames that a client may send: the least role, and what limits it.
//!
//! A frame counts as a request does. Whoever opens a stream may send each of these. The session
//! that a frame names must be one that its sender's token opens, and what a `COMMAND` asks for
//! has a right of its own, in [`crate::domain::access`].

use crate::domain::principal::Role;
use crate::limits::Class;

/// What one kind of frame asks of its sender.
#[derive(Debug, PartialEq, Eq)]
pub struct FrameRight {
    /// Its type.
    pub kind: &'static str,
    /// The least role that may send it.
    pub least_role: Role,
    /// What limits it.
    pub class: Class,
}

pub const PING: FrameRight = row("PING", Class::Read);
pub const RECONNECT: FrameRight = row("RECONNECT", Class::Read);
pub const COMMAND: FrameRight = row("COMMAND", Class::Command);
pub const AUTH: FrameRight = row("AUTH", Class::Read);
pub const SUBSCRIBE: FrameRight = row("SUBSCRIBE", Class::Read);
pub const UNSUBSCRIBE: FrameRight = row("UNSUBSCRIBE", Class::Read);

/// Every type of frame that a client may send.
pub const FRAMES: [&FrameRight; 6] = [&PING, &RECONNECT, &COMMAND, &AUTH, &SUBSCRIBE, &UNSUBSCRIBE];

const fn row(kind: &'static str, class: Class) -> FrameRight {
    FrameRight { kind, least_role: Role::Viewer, class }
}
