-- Why: sessions that were lost while nobody was there, or while the store was not, are
-- charged nothing for that span. Whoever comes back first writes down since when; one
-- row alone would be moved on before a session is asked for again.
create table absence (
    gone_at bigint not null,
    back_at bigint not null,
    constraint absence_one_from_each_instant primary key (gone_at),
    constraint absence_is_a_span check (back_at > gone_at)
);
