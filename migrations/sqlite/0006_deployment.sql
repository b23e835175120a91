-- Why: two deployments on one ledger would both run each session, unnoticed. One row names the
-- owner, which updates it while it is alive.
create table deployment (
    one integer not null default 1,
    -- A random id, also stored in its Redis.
    id text not null,
    -- Its name in Redis; empty if sessions are in the memory of one process.
    name text not null,
    -- The Redis processes that have held its sessions, newest first, separated by spaces.
    places text not null,
    -- Its address, for messages.
    address text not null,
    -- The number of its heartbeats.
    beats integer not null,
    constraint deployment_one_row primary key (one),
    constraint deployment_only_row check (one = 1)
) strict;
