//! What subscribers get: shared by all, and encoded once for each transport.

use std::sync::OnceLock;

use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::Message;
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::wire::frame;
use crate::wire::frame::Warning;
use crate::wire::sealed::is_sealed;

/// One step of a session's stream.
#[derive(Debug)]
pub struct Update {
    /// What it brings.
    pub kind: UpdateKind,
    /// The position it leads to; `None` for warnings.
    pub position: Option<Position>,
    /// Its frames, one JSON object each.
    pub frames: Box<[Bytes]>,
    /// When this instance received it.
    pub received_at: Instant,
    pub(super) snapshot: Option<Bytes>,
    encodings: [OnceLock<Bytes>; Encoding::ALL],
}

/// What an update brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateKind {
    /// The newest state: first, and whenever an earlier write was evicted.
    State,
    /// A write: `STATE_UPDATE` and what follows from it.
    Write,
    /// Thresholds that were reached at one instant.
    Warnings,
    /// The session's deletion; nothing follows.
    Deletion,
}

/// An encoding of frames that all subscribers of a transport share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// WebSocket messages.
    WebSocket,
    /// Server-sent events.
    EventStream,
    /// Server-sent events as one chunk of an HTTP/1.1 body.
    EventChunk,
    /// The answer to a poll that has seen everything before.
    PollAnswer,
    /// The same answer, compressed.
    PollAnswerZipped,
}

impl Encoding {
    /// How many encodings there are.
    const ALL: usize = Self::PollAnswerZipped as usize + 1;
}

impl Update {
    /// An update with these frames, received now.
    pub fn new(kind: UpdateKind, position: Option<Position>, frames: Box<[Bytes]>) -> Self {
        Self { kind, position, frames, received_at: Instant::now(), snapshot: None, encodings: Default::default() }
    }

    /// The same with other bytes of its frames.
    pub fn with_frames(&self, frames: Box<[Bytes]>) -> Self {
        let Self { kind, position, received_at, snapshot, .. } = self;
        Self { received_at: *received_at, snapshot: snapshot.clone(), ..Self::new(*kind, *position, frames) }
    }

    /// Whether its frames are sealed.
    pub fn is_sealed(&self) -> bool {
        self.frames.iter().all(|frame| is_sealed(frame))
    }

    /// A write that the bus brought.
    pub(super) fn write(message: &Message) -> Self {
        let kind = if frame::is_deletion(&message.frames) { UpdateKind::Deletion } else { UpdateKind::Write };
        let frames = frame::lines(&message.frames).collect();
        let snapshot = frame::snapshot_in(&message.frames);
        Self { snapshot, ..Self::new(kind, Some(message.position), frames) }
    }

    pub(super) fn state(session: &SessionId, position: Position, snapshot: &[u8]) -> Self {
        Self::new(UpdateKind::State, Some(position), [frame::state_sync(session, position, snapshot)].into())
    }

    pub(super) fn warnings<'a>(session: &SessionId, warnings: impl Iterator<Item = &'a Warning>) -> Self {
        Self::new(UpdateKind::Warnings, None, warnings.map(|warning| frame::warning(session, warning)).collect())
    }

    pub(super) fn deletion(session: &SessionId, position: Position) -> Self {
        Self::new(UpdateKind::Deletion, Some(position), [frame::session_deleted(session, position)].into())
    }

    /// The frames in that encoding. The first subscriber to ask encodes them for all.
    pub fn encoded(&self, encoding: Encoding, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.encodings[encoding as usize].get_or_init(|| encode(self)).clone()
    }

    /// The whole snapshot after a write, if its frame carries one.
    pub fn snapshot(&self) -> Option<&Bytes> {
        self.snapshot.as_ref()
    }

    /// The size of its frames in bytes.
    pub fn size(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }
}
