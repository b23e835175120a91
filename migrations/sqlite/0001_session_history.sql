-- Why: the history must outlive the store. Each committed version of a session is a link of
-- its chain. So sessions can be restored, history can be shown, and a missing or altered
-- change is detected.

-- All versions. The digest of the link is part of the key: a second row at a position is a
-- fork, and forks are kept and counted.
--
-- No other index: the rows of a batch are of many sessions, so each index would write a page
-- for almost every row. A binary search over versions finds the one of an instant.
create table session_snapshot (
    -- The order of arrival; it also tells a fork from the first row.
    arrival integer primary key,
    tenant text not null,
    session_id text not null,
    epoch integer not null,
    version integer not null,
    at integer not null,
    -- Digest of the link before; zeros for the first link of a session.
    previous blob not null,
    body_digest blob not null,
    digest blob not null,
    -- The stored session; null if shed. The link stays either way.
    body text,
    -- The change, as JSON.
    change text not null,
    -- Digests of the idempotency key of the change, and of its request body.
    repeat_key blob,
    repeat_body blob,
    constraint session_snapshot_link unique (tenant, session_id, epoch, version, digest),
    constraint session_snapshot_counting check (version >= 1),
    constraint session_snapshot_digests check (
        length(previous) = 32 and length(body_digest) = 32 and length(digest) = 32
    ),
    constraint session_snapshot_repeat check ((repeat_key is null) = (repeat_body is null))
) strict;

-- The newest row of each session, with the columns that lists and sweeps filter by. Its body
-- is in the snapshot of the same link.
create table session (
    tenant text not null,
    session_id text not null,
    epoch integer not null,
    version integer not null,
    digest blob not null,
    status text not null,
    sync_mode text not null,
    -- When the session changes without a command; null if it will not.
    due_at integer,
    updated_at integer not null,
    -- Ids, as a JSON array.
    participants text not null,
    -- An object of texts: a value that is no string is its JSON text, so that both backends
    -- compare alike.
    metadata text not null,
    constraint session_identity primary key (tenant, session_id),
    constraint session_counting check (version >= 1)
) strict;

-- Lists by status, in page order.
create index session_status on session (tenant, status, session_id);

-- Due sessions, soonest first; excludes sessions without a due time.
create index session_due on session (due_at, tenant, session_id) where due_at is not null;
