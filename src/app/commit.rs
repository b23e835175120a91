//! From a change to the write that makes it visible: link, frames, audit entry.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::chain::{Digest, Link};
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::principal::Principal;
use crate::domain::session::Status;
use crate::domain::session::command::Command;
use crate::domain::session::event::Change;
use crate::store::{Commit, Operation, StoredSession};
use crate::wire::change::Details;
use crate::wire::{frame, history};

/// Who writes a version, and by which command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author<'a> {
    /// The command's name.
    pub command: &'static str,
    /// The command itself; `None` for a creation and for what settles by itself.
    pub arguments: Option<&'a Command>,
    /// The caller; `None` for what settles by itself.
    pub by: Option<&'a Principal>,
    /// The idempotency key it came with.
    pub idempotency: Option<IdempotencyKey>,
}

impl Author<'_> {
    /// The author of what settles by itself.
    pub const NOBODY: Author<'static> = Author { command: "settle", arguments: None, by: None, idempotency: None };
}

/// The write of `change`, made from `base`, in a format that every instance can read.
pub(super) fn commit(
    operation: Operation,
    format: u16,
    key: &SessionKey,
    base: Option<&StoredSession>,
    mut change: Change,
    author: Author<'_>,
) -> Commit {
    let previous = base.map_or(Digest::NONE, |base| base.head);
    change.session.previous = previous;
    change.session.format = format;
    let outage = change.session.outage.take();
    let before = base.map(|base| &*base.session).filter(|before| before.status != Status::Deleted);
    let details = Details::of(author.arguments, before, &change.session);
    let frames = frame::of_change(author.command, &details, before, &change);
    let audited = history::changed(author.command, &details, author.by, &change, outage);
    drop(details);
    let session = change.session;
    let body = Bytes::from(session.stored());
    let link = Link { position: session.position, at: session.updated_at, previous, body: Digest::of(&body) };
    let entry = Entry { key: key.clone(), link, body: Some(body), change: audited, idempotency: author.idempotency };
    Commit {
        operation,
        key: key.clone(),
        base: base.map(|base| base.session.position),
        session: Arc::new(session),
        frames,
        entry: Arc::new(entry),
    }
}

/// How many bytes the stored session takes.
pub(super) fn stored_bytes(write: &Commit) -> usize {
    write.entry.body.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::session::Session;
    use crate::domain::session::event::Step;
    use crate::domain::session::stored::{FORMAT, Unreadable};
    use crate::store::contract::fixtures::{NOW, START, created, key};

    #[test]
    fn a_write_is_stored_in_the_format_that_is_asked_for() {
        const NEXT: u16 = FORMAT + 1;
        let write = |format| {
            let Step::Done(change) = created(&key("a")).next(&START, NOW) else { panic!("it does not start") };
            let entry = commit(1, format, &key("a"), None, *change, Author::NOBODY).entry;
            Session::from_stored(entry.body.as_ref().unwrap())
        };
        assert_eq!(write(FORMAT).unwrap().format, FORMAT);
        assert!(matches!(write(NEXT), Err(Unreadable::Newer(NEXT))));
    }
}
