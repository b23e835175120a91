-- Why: administrators change settings and revoke tokens while the service runs. Every instance
-- must have each change within seconds, also one that was away. So changes are numbered here.

-- The number of the newest change. A change locks the row until it commits, so the order of
-- the numbers is the order of the commits: whoever has read up to one has missed none before it.
create table control_revision (
    one integer not null default 1,
    revision bigint not null,
    constraint control_revision_one_row primary key (one),
    constraint control_revision_only_row check (one = 1)
);

insert into control_revision (one, revision) values (1, 0);

-- What a tenant has set. Back at its default, a setting keeps its row with an empty value, so
-- that instances learn of it.
create table setting (
    tenant text collate "C" not null,
    name text collate "C" not null,
    -- As JSON.
    value text not null,
    revision bigint not null,
    at bigint not null,
    changed_by text not null,
    constraint setting_one_of_each_name primary key (tenant, name)
);

create index setting_by_revision on setting (revision);

-- Tokens that prove nothing any more: one by its id, or those of a subject up to an instant.
create table revocation (
    tenant text collate "C" not null,
    id text collate "C" not null,
    kind text collate "C" not null,
    -- The id of the token, or the subject.
    target text not null,
    -- Of a subject: tokens made until then. Of a token: 0.
    before bigint not null,
    at bigint not null,
    revoked_by text not null,
    -- Every token that it concerns has ended by then.
    expires_at bigint not null,
    -- When an administrator took it back; 0 while it stands. The row stays for a day, so that
    -- instances learn of it.
    removed_at bigint not null default 0,
    revision bigint not null,
    constraint revocation_id primary key (tenant, id),
    constraint revocation_kind check (kind in ('token', 'subject'))
);

create index revocation_by_revision on revocation (revision);
create index revocation_by_end on revocation (expires_at);

-- Idempotency keys of such changes, by their digests, for as long as a repeat is recognised.
create table control_request (
    key bytea not null,
    -- Digest of the body that came with it.
    body bytea not null,
    revision bigint not null,
    -- The id of the revocation that was made; empty for settings.
    made text not null,
    at bigint not null,
    constraint control_request_key primary key (key)
);

create index control_request_by_time on control_request (at);
