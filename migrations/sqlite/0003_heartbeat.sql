-- Why: after an outage of the service, running sessions are charged only up to the last
-- heartbeat. One row, updated every second.
create table heartbeat (
    one integer not null default 1,
    at integer not null,
    constraint heartbeat_one_row primary key (one),
    constraint heartbeat_only_row check (one = 1)
) strict;
