-- Why: the history must outlive the store. Each committed version of a session is a link of
-- its chain. So sessions can be restored, history can be shown, and a missing or altered
-- change is detected.

-- The order of arrival within one position: it tells a fork from the first row.
create sequence session_snapshot_arrival as bigint;

-- All versions, partitioned by the month of their instant. The digest of the link is part of
-- the key: a second row at a position is a fork, and forks are kept and counted.
--
-- The instant is in the key because PostgreSQL requires the partition key there. The digest
-- covers the instant, so a repeat still conflicts with the row that it repeats.
--
-- Bodies are the original bytes, as the digest covers them. A text cannot hold a NUL, and
-- jsonb would reformat them.
create table session_snapshot (
    arrival bigint not null default nextval('session_snapshot_arrival'),
    -- Compared byte by byte, as ids are everywhere.
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    epoch bigint not null,
    version bigint not null,
    at bigint not null,
    -- Digest of the link before; zeros for the first link of a session.
    previous bytea not null,
    body_digest bytea not null,
    digest bytea not null,
    -- The stored session; null if shed. The link stays either way.
    body bytea,
    -- The change, as JSON.
    change bytea not null,
    -- Digests of the idempotency key of the change, and of its request body.
    repeat_key bytea,
    repeat_body bytea,
    constraint session_snapshot_link unique (tenant, session_id, epoch, version, digest, at),
    constraint session_snapshot_counting check (version >= 1),
    constraint session_snapshot_digests check (
        length(previous) = 32 and length(body_digest) = 32 and length(digest) = 32
    ),
    constraint session_snapshot_repeat check ((repeat_key is null) = (repeat_body is null))
) partition by range (at);

-- Takes all rows without a month's partition, so no row is refused for its instant.
create table session_snapshot_other
    partition of session_snapshot (
        constraint session_snapshot_other_link unique (tenant, session_id, epoch, version, digest, at)
    ) default;

-- The newest row of each session, with the columns that lists and sweeps filter by. Its body
-- is in the snapshot of the same link, in the month of `at`.
--
-- Each version updates a row, so pages keep free space for the update.
create table session (
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    epoch bigint not null,
    version bigint not null,
    digest bytea not null,
    at bigint not null,
    status text collate "C" not null,
    sync_mode text collate "C" not null,
    -- When the session changes without a command; null if it will not.
    due_at bigint,
    updated_at bigint not null,
    -- The position before this one. An entry after both is no fork, which saves a look-up in
    -- every month.
    before_epoch bigint,
    before_version bigint,
    constraint session_identity primary key (tenant, session_id),
    constraint session_counting check (version >= 1)
) with (fillfactor = 80);

-- Lists by status, in page order.
create index session_status
    on session (tenant, status, session_id);

-- Lists of recently changed sessions.
create index session_updated
    on session (tenant, updated_at);

-- Due sessions, soonest first; excludes sessions without a due time.
create index session_due
    on session (due_at, tenant, session_id)
    where due_at is not null;

-- What else lists filter by: sync mode, participants, metadata. These rarely change, while
-- `session` changes with each version, so a table of their own saves index updates. A label
-- is a digest of the tenant and the value, so any text fits and tenants share no labels.
create table session_label (
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    labels bytea[] not null,
    constraint session_label_identity primary key (tenant, session_id)
);

-- Rarely written and often read: without the pending list that each look-up would scan.
create index session_label_labels
    on session_label using gin (labels) with (fastupdate = off);

-- Makes the partitions of `months` months from `since` on; returns the number of new ones.
-- Moves rows of those months in from the default partition.
--
-- The service calls it on `migrate` and about twice a month. It blocks readers and writers
-- while it scans the default partition, which is nearly empty.
create function session_snapshot_prepare(since bigint, months integer)
    returns integer
    language plpgsql
    -- A waiting lock blocks later readers and writers, so the call fails; the next one retries.
    set lock_timeout = '2s'
as $$
declare
    month timestamp := date_trunc('month', to_timestamp(since / 1000.0) at time zone 'utc');
    name text;
    beginning bigint;
    ending bigint;
    made integer := 0;
begin
    -- Two instances may prepare a month at the same time.
    perform pg_advisory_xact_lock(hashtextextended('session_snapshot_prepare', 0));
    if not exists (
        select
        from generate_series(month, month + make_interval(months => months - 1), interval '1 month') ahead
        where to_regclass('session_snapshot_' || to_char(ahead, 'yyyy_mm')) is null
    ) then
        return 0;
    end if;
    -- No row enters the default partition after the scan.
    lock table only session_snapshot in share row exclusive mode;
    -- A reader plans its partitions before it waits for their locks, so it could miss a row
    -- that moves meanwhile. Where rows move, no reader may run.
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

-- Retention: drops the months that ended before a day; returns their number. Only an operator
-- calls it. The newest row of each session moves to the default partition, even if the session
-- is deleted. A later call deletes that row if the session has a newer one.
--
-- History reads and the audit wait until it is done; commands do not.
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
