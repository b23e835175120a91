-- Why: two deployments that write to one ledger run each session twice, and neither would
-- know. One row says which of them writes, and moves on while it lives.
create table deployment (
    one integer not null default 1,
    -- A random name; its Redis remembers it.
    id text not null,
    -- What it is called in Redis; empty where sessions are in the memory of one process.
    name text not null,
    -- The processes of Redis that have held its sessions, newest first, a space between.
    places text not null,
    -- Where it is, for people.
    address text not null,
    -- How often somebody who lives there has said so.
    beats bigint not null,
    constraint deployment_one_row primary key (one),
    constraint deployment_only_row check (one = 1)
);

-- Months are made by whoever owns the tables, whoever asks for it: who serves needs no
-- right to make or drop a table. Such a function must not look for names elsewhere.
do $$
begin
    execute format(
        'alter function session_snapshot_prepare(bigint, integer) security definer set search_path = %I, pg_temp',
        current_schema()
    );
    revoke execute on function session_snapshot_prepare(bigint, integer) from public;
end
$$;
