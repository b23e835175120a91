-- Why: one process that keeps its sessions in memory loses them when it ends. After an
-- orderly stop nothing is lost, and clocks are charged nothing until the next start; after
-- a kill the last moments may be lost. A process that never wrote when it stopped was killed.
create table run (
    began_at bigint not null,
    stopped_at bigint,
    constraint run_one_from_each_instant primary key (began_at),
    constraint run_stops_after_it_began check (stopped_at >= began_at)
);
