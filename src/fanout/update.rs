//! What subscribers are handed: shared by all, and written for each transport once.

use std::sync::OnceLock;

use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::Message;
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::wire::frame;
use crate::wire::frame::Warning;

/// What was told in one step.
#[derive(Debug)]
pub struct Update {
    /// What it is.
    pub kind: UpdateKind,
    /// Where it stands; warnings stand nowhere.
    pub position: Option<Position>,
    /// Its frames, one JSON object each.
    pub frames: Box<[Bytes]>,
    /// When this instance learned of it.
    pub received_at: Instant,
    pub(super) snapshot: Option<Bytes>,
    encodings: [OnceLock<Bytes>; Encoding::ALL],
}

/// What a step of telling is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateKind {
    /// The newest state: first, and whenever something before it cannot be told any more.
    State,
    /// A write: `STATE_UPDATE` and what follows from it.
    Write,
    /// Thresholds reached at one instant.
    Warnings,
    /// The session's end; nothing follows.
    Deletion,
}

/// A way of writing frames that all subscribers of a transport share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As WebSocket messages.
    WebSocket,
    /// As server-sent events.
    EventStream,
    /// The same, as one chunk of an HTTP/1.1 body.
    EventChunk,
    /// As the answer to a poll that had everything before.
    PollAnswer,
    /// The same, compressed.
    PollAnswerZipped,
}

impl Encoding {
    /// How many there are.
    const ALL: usize = Self::PollAnswerZipped as usize + 1;
}

impl Update {
    fn new(kind: UpdateKind, position: Option<Position>, frames: Box<[Bytes]>) -> Self {
        Self { kind, position, frames, received_at: Instant::now(), snapshot: None, encodings: Default::default() }
    }

    /// A write as the bus brings it.
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

    /// The frames as a transport writes them: by whoever is first, for all.
    pub fn encoded(&self, form: Encoding, write: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.encodings[form as usize].get_or_init(|| write(self)).clone()
    }

    /// The whole snapshot after a write, where it was told with it.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Bytes> {
        self.snapshot.as_ref()
    }

    /// The bytes of its frames.
    #[must_use]
    pub fn size(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }
}
