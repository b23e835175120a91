-- Why: a process may keep its sessions in memory. After an orderly stop nothing is lost, and
-- clocks are charged nothing until the next start. After a kill the last changes may be lost.
-- A run without a stop time was killed.
create table run (
    began_at integer not null,
    stopped_at integer,
    constraint run_one_from_each_instant primary key (began_at),
    constraint run_stops_after_it_began check (stopped_at >= began_at)
) strict;
