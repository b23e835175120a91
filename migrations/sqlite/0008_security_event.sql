-- Why: who looks into an attack asks what was refused, limited, revoked and changed, by whom and
-- from where, after the log has rolled over. Rows come in batches; a repeat within a second is a
-- count. No row holds a secret.
create table security_event (
    tenant text not null,
    -- Its beginning is the instant, so the order of the ids is that of the events.
    id text not null,
    at integer not null,
    kind text not null,
    -- Whom it concerns; empty if no principal is known.
    subject text not null,
    -- The address it came from; empty if it came from none.
    address text not null,
    detail text not null,
    -- How many of the same kind, principal and address there were within the second.
    times integer not null,
    constraint security_event_id primary key (tenant, id),
    constraint security_event_times check (times >= 1)
) strict;

create index security_event_by_time on security_event (at);
