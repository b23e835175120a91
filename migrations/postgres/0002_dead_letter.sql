-- Why: an entry that the ledger refuses for good must neither stop those behind it
-- nor be lost. It is put aside here, as it came, for someone to look at.
--
-- Columns are as loose as can be: what was refused for its shape must fit.
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
    -- A worker that dies between burying and acknowledging buries again.
    constraint dead_letter_link primary key (tenant, session_id, position, digest)
);
