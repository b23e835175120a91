-- Why: an entry that the ledger refuses for good must neither block later entries nor be
-- lost. It is kept here, unchanged, for an operator.
--
-- Columns have few constraints, as an entry may be refused for its shape.
create table dead_letter (
    tenant text not null,
    session_id text not null,
    -- As on the wire, <epoch>-<version>.
    position text not null,
    at integer not null,
    previous blob not null,
    body_digest blob not null,
    digest blob not null,
    body blob,
    change blob not null,
    repeat_key blob,
    repeat_body blob,
    reason text not null,
    buried_at integer not null,
    -- A worker that dies before it acknowledges the entry inserts it again.
    constraint dead_letter_link primary key (tenant, session_id, position, digest)
) strict;
