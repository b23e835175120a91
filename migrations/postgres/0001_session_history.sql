-- Why: what must outlive the store. Every committed version of a session is kept
-- as a link of its chain, so that a session can be restored, its past be shown,
-- and a missing or altered change be noticed.

-- The order in which rows came, within one position: what tells a fork from the
-- row it met.
create sequence session_snapshot_arrival as bigint;

-- Every version, by the month of its instant. The digest of the link is part of its
-- identity: a second row at the same position is a fork, and a fork is kept and
-- counted, never dropped.
--
-- The instant stands in the key because a key must hold what a table is parted by.
-- It changes nothing: the digest covers the instant, so that a repeat comes to the
-- same month, and to the row that is there.
--
-- Bodies are bytes as they came. A text could hold no NUL and jsonb would write them
-- anew: neither would be what the digest was made of, and the one would be refused.
create table session_snapshot (
    arrival bigint not null default nextval('session_snapshot_arrival'),
    -- Byte by byte, as ids are compared everywhere else.
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    epoch bigint not null,
    version bigint not null,
    at bigint not null,
    -- Digest of the link before; zeros for the first of a session.
    previous bytea not null,
    body_digest bytea not null,
    digest bytea not null,
    -- The stored session; null once shed. The link stays either way.
    body bytea,
    -- What happened, as JSON.
    change bytea not null,
    -- The idempotency key the change answered, and what it came with.
    repeat_key bytea,
    repeat_body bytea,
    constraint session_snapshot_link unique (tenant, session_id, epoch, version, digest, at),
    constraint session_snapshot_counting check (version >= 1),
    constraint session_snapshot_digests check (
        length(previous) = 32 and length(body_digest) = 32 and length(digest) = 32
    ),
    constraint session_snapshot_repeat check ((repeat_key is null) = (repeat_body is null))
) partition by range (at);

-- Whatever no month takes: nothing is ever refused for its instant.
create table session_snapshot_other
    partition of session_snapshot (
        constraint session_snapshot_other_link unique (tenant, session_id, epoch, version, digest, at)
    ) default;

-- The newest row of each session, with what lists and sweeps ask for. Its body is
-- the snapshot's of the same link, found in its month by `at`.
--
-- Rows change with every version: room is left for the next one on the same page.
create table session (
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    epoch bigint not null,
    version bigint not null,
    digest bytea not null,
    at bigint not null,
    status text collate "C" not null,
    sync_mode text collate "C" not null,
    -- When something happens though nobody acts; null if nothing will.
    due_at bigint,
    updated_at bigint not null,
    -- The newest before this one. An entry that is newer than both has met no other,
    -- which saves a look into every month.
    before_epoch bigint,
    before_version bigint,
    constraint session_identity primary key (tenant, session_id),
    constraint session_counting check (version >= 1)
) with (fillfactor = 80);

-- Lists by status, in the order of a page.
create index session_status
    on session (tenant, status, session_id);

-- Lists of what changed lately.
create index session_updated
    on session (tenant, updated_at);

-- What is due, soonest first; sessions that wait for nothing are not in it.
create index session_due
    on session (due_at, tenant, session_id)
    where due_at is not null;

-- What else lists filter by: sync mode, participants, metadata. They hardly ever
-- change, while `session` always does, so they stand apart and their index is left
-- alone. A label is a digest of what it stands for, tenant included, so that any
-- text fits and no tenant's sessions are in the way of another's.
create table session_label (
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    labels bytea[] not null,
    constraint session_label_identity primary key (tenant, session_id)
);

-- Written to seldom and read often: no list of what is pending, which each look-up
-- would have to go through.
create index session_label_labels
    on session_label using gin (labels) with (fastupdate = off);

-- Makes the partitions of a month and of those after it, `months` in all; gives how
-- many are new. Rows of such a month that came before it was made move in.
--
-- The service calls it on `migrate` and about twice a month. Making one keeps readers and
-- writers waiting for as long as the default partition takes to be looked through, which is
-- as good as empty.
create function session_snapshot_prepare(since bigint, months integer)
    returns integer
    language plpgsql
    -- Who waits for this lock keeps others waiting; the next call finds it free.
    set lock_timeout = '2s'
as $$
declare
    month timestamp := date_trunc('month', to_timestamp(since / 1000.0) at time zone 'utc');
    name text;
    beginning bigint;
    ending bigint;
    made integer := 0;
begin
    -- Two instances begin a month at the same time.
    perform pg_advisory_xact_lock(hashtextextended('session_snapshot_prepare', 0));
    if not exists (
        select
        from generate_series(month, month + make_interval(months => months - 1), interval '1 month') ahead
        where to_regclass('session_snapshot_' || to_char(ahead, 'yyyy_mm')) is null
    ) then
        return 0;
    end if;
    -- No row comes to the default partition once it has been looked at.
    lock table only session_snapshot in share row exclusive mode;
    -- A reader chooses its partitions first and waits for them next, so it would look for a
    -- row where it is no longer: where rows move, every reader begins before or after it.
    beginning := extract(epoch from month at time zone 'utc')::bigint * 1000;
    ending := extract(epoch from (month + make_interval(months => months)) at time zone 'utc')::bigint * 1000;
    if exists (select from session_snapshot_other where at >= beginning and at < ending) then
        lock table only session_snapshot in access exclusive mode;
    end if;
    for ahead in 1..months loop
        name := 'session_snapshot_' || to_char(month, 'yyyy_mm');
        beginning := extract(epoch from month at time zone 'utc')::bigint * 1000;
        month := month + interval '1 month';
        ending := extract(epoch from month at time zone 'utc')::bigint * 1000;
        continue when to_regclass(name) is not null;
        execute format('create table %I (like session_snapshot including defaults including constraints)', name);
        execute format(
            'alter table %I add constraint %I unique (tenant, session_id, epoch, version, digest, at)',
            name, name || '_link'
        );
        execute format(
            'with moved as (delete from session_snapshot_other where at >= %s and at < %s returning *) '
            'insert into %I select * from moved',
            beginning, ending, name
        );
        execute format(
            'alter table session_snapshot attach partition %I for values from (%s) to (%s)',
            name, beginning, ending
        );
        made := made + 1;
    end loop;
    return made;
end
$$;

-- Retention: forgets the months that ended before a day; gives how many. The service
-- never calls it. What must not be forgotten stays: the newest row of a session,
-- deleted ones included, moves to the default partition, from where the next call
-- takes it if the session has moved on meanwhile.
--
-- Readers and writers of the past wait until it is done; the audit waits with them,
-- commands do not.
create function session_snapshot_forget(before date)
    returns integer
    language plpgsql
as $$
declare
    month text;
    beginning bigint;
    ending bigint;
    forgotten integer := 0;
begin
    perform pg_advisory_xact_lock(hashtextextended('session_snapshot_prepare', 0));
    for month in
        select child.relname
        from pg_inherits
        join pg_class child on child.oid = pg_inherits.inhrelid
        where pg_inherits.inhparent = 'session_snapshot'::regclass
        and child.relname ~ '^session_snapshot_\d{4}_\d{2}$'
        and to_date(right(child.relname, 7), 'yyyy_mm') + interval '1 month' <= before
        order by child.relname
    loop
        beginning := extract(epoch from to_date(right(month, 7), 'yyyy_mm'))::bigint * 1000;
        ending := extract(epoch from to_date(right(month, 7), 'yyyy_mm') + interval '1 month')::bigint * 1000;
        execute format('alter table session_snapshot detach partition %I', month);
        execute format(
            'insert into session_snapshot '
            'select kept.* '
            'from session '
            'join %I kept using (tenant, session_id, epoch, version, digest, at) '
            'where session.at >= %s and session.at < %s',
            month, beginning, ending
        );
        execute format('drop table %I', month);
        forgotten := forgotten + 1;
    end loop;
    delete from session_snapshot_other old
    where old.at < extract(epoch from before)::bigint * 1000
    and not exists (
        select 1
        from session
        where session.tenant = old.tenant
        and session.session_id = old.session_id
        and session.epoch = old.epoch
        and session.version = old.version
        and session.digest = old.digest
    );
    return forgotten;
end
$$;
