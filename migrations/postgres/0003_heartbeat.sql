-- Why: after an outage of everything, sessions whose time was running need to know
-- when the service was last there. One row, moved on every few seconds.
create table heartbeat (
    one integer not null default 1,
    at bigint not null,
    constraint heartbeat_one_row primary key (one),
    constraint heartbeat_only_row check (one = 1)
);
