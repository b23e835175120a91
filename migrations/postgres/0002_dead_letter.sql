-- Why: an entry that the ledger refuses for good must neither block later entries nor be
-- lost. It is kept here, unchanged, for an operator.
--
-- Columns have few constraints, as an entry may be refused for its shape.
create table dead_letter (
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    -- As on the wire, <epoch>-<version>.
    position text not null,
    at bigint not null,
    previous bytea not null,
    body_digest bytea not null,
    digest bytea not null,
    body bytea,
    change bytea not null,
    repeat_key bytea,
    repeat_body bytea,
    reason text not null,
    buried_at bigint not null,
    -- A worker that dies before it acknowledges the entry inserts it again.
    constraint dead_letter_link primary key (tenant, session_id, position, digest)
);
