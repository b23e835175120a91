-- Why: sessions are charged nothing for an outage of the service or the store. The first
-- heartbeat after it records its span. The heartbeat row alone would be updated before all
-- sessions are restored.
create table absence (
    gone_at bigint not null,
    back_at bigint not null,
    constraint absence_one_from_each_instant primary key (gone_at),
    constraint absence_is_a_span check (back_at > gone_at)
);
