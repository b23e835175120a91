-- Why: an entry that the ledger refuses for good must neither stop those behind it
-- nor be lost. It is put aside here, as it came, for someone to look at.
--
-- Columns are as loose as can be: what was refused for its shape must fit.
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
    -- A worker that dies between burying and acknowledging buries again.
    constraint dead_letter_link primary key (tenant, session_id, position, digest)
) strict;
