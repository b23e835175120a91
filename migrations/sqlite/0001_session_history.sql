-- Why: what must outlive the store. Every committed version of a session is kept
-- as a link of its chain, so that a session can be restored, its past be shown,
-- and a missing or altered change be noticed.

-- Every version. The digest of the link is part of its identity: a second row at
-- the same position is a fork, and a fork is kept and counted, never dropped.
--
-- No other index: rows of one batch are of many sessions, so that each index would
-- have a page of its own written for almost every row. What stood at an instant is
-- found by halving the versions.
create table session_snapshot (
    -- The order in which rows came; also what tells a fork from the row it met.
    arrival integer primary key,
    tenant text not null,
    session_id text not null,
    epoch integer not null,
    version integer not null,
    at integer not null,
    -- Digest of the link before; zeros for the first of a session.
    previous blob not null,
    body_digest blob not null,
    digest blob not null,
    -- The stored session; null once shed. The link stays either way.
    body text,
    -- What happened, as JSON.
    change text not null,
    -- The idempotency key the change answered, and what it came with.
    repeat_key blob,
    repeat_body blob,
    constraint session_snapshot_link unique (tenant, session_id, epoch, version, digest),
    constraint session_snapshot_counting check (version >= 1),
    constraint session_snapshot_digests check (
        length(previous) = 32 and length(body_digest) = 32 and length(digest) = 32
    ),
    constraint session_snapshot_repeat check ((repeat_key is null) = (repeat_body is null))
) strict;

-- The newest row of each session, with what lists and sweeps ask for. Its body is
-- the snapshot's of the same link.
create table session (
    tenant text not null,
    session_id text not null,
    epoch integer not null,
    version integer not null,
    digest blob not null,
    status text not null,
    sync_mode text not null,
    -- When something happens though nobody acts; null if nothing will.
    due_at integer,
    updated_at integer not null,
    -- Ids, as a JSON array.
    participants text not null,
    -- An object of texts: what is no string in the caller's metadata stands here
    -- as its JSON text, so that both dialects compare alike.
    metadata text not null,
    constraint session_identity primary key (tenant, session_id),
    constraint session_counting check (version >= 1)
) strict;

-- Lists by status, in the order of a page.
create index session_status on session (tenant, status, session_id);

-- What is due, soonest first; sessions that wait for nothing are not in it.
create index session_due on session (due_at, tenant, session_id) where due_at is not null;
