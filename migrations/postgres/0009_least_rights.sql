-- Why: who gets hold of an instance must not be able to alter what happened. So the role that
-- serves inserts and reads history, and neither updates nor deletes it. What it may do is
-- listed here, table by table, and nowhere else.

-- Gives a role what instances, workers and `audit` need, and takes away what else it has on the
-- tables, sequences and functions of the ledger. The owner of the tables calls it, once for
-- each role that serves. `migrate` calls it again for every role that may insert history, so a
-- table of a later release is listed here by replacing this function.
create function ledger_grant(serving regrole)
    returns void
    language plpgsql
as $$
declare
    keeper regrole := (select relowner from pg_class where oid = 'session_snapshot'::regclass);
    place regnamespace := (select relnamespace from pg_class where oid = 'session_snapshot'::regclass);
    thing text;
    rights text;
begin
    if pg_has_role(serving, keeper, 'member') then
        raise exception '% owns the tables, and so has every right on them: name another role', serving;
    end if;
    -- Two calls at a time would alter the same rows of the catalogue.
    perform pg_advisory_xact_lock(hashtextextended('ledger_grant', 0));
    -- What the owner makes later is nobody else's until it is listed.
    foreach thing in array array['tables', 'sequences', 'functions'] loop
        foreach rights in array array['', format('in schema %s', place)] loop
            execute format(
                'alter default privileges for role %s %s revoke all on %s from %s',
                keeper, rights, thing, serving
            );
        end loop;
    end loop;
    -- Months among them: rows reach and leave them through the table that they are parts of.
    for thing in
        select format('%s %s', case relkind when 'S' then 'sequence' else 'table' end, oid::regclass)
        from pg_class
        where relnamespace = place and relowner = keeper and relkind in ('r', 'p', 'S')
        union all
        select format('function %s', oid::regprocedure)
        from pg_proc
        where pronamespace = place and proowner = keeper
    loop
        execute format('revoke all on %s from %s', thing, serving);
    end loop;
    for thing, rights in
        select * from (values
            -- History, and what guards it against a schema of another release.
            ('table session_snapshot', 'select, insert'),
            ('sequence session_snapshot_arrival', 'usage'),
            ('table _sqlx_migrations', 'select'),
            -- The newest row of a session, and what lists filter it by.
            ('table session', 'select, insert, update'),
            ('table session_label', 'select, insert, update'),
            -- Added when an entry is refused for good; removed when it is taken after all.
            ('table dead_letter', 'select, insert, delete'),
            -- One row, every second; and outages, forgotten after a while.
            ('table heartbeat', 'select, insert, update'),
            ('table absence', 'select, insert, delete'),
            -- When processes ran, forgotten after a while.
            ('table run', 'select, insert, update, delete'),
            -- Which deployment owns the ledger: one row, updated every second.
            ('table deployment', 'select, insert, update'),
            -- What administrators set and revoke; forgotten once it concerns nobody.
            ('table control_revision', 'select, update'),
            ('table setting', 'select, insert, update'),
            ('table revocation', 'select, insert, update, delete'),
            ('table control_request', 'select, insert, delete'),
            -- Who attacked; forgotten after a while, never altered.
            ('table security_event', 'select, insert, delete'),
            -- Makes the months ahead; runs as the owner.
            ('function session_snapshot_prepare(bigint, integer)', 'execute')
        ) listed
    loop
        -- Not every release has every table.
        continue when split_part(thing, ' ', 1) = 'table' and to_regclass(split_part(thing, ' ', 2)) is null;
        execute format('grant %s on %s to %s', rights, thing, serving);
    end loop;
end
$$;

-- Runs as the owner, for an operator whose role owns nothing. Nobody else may call it unless the
-- owner says so; the role that serves never needs it. A fixed search path keeps other schemas out.
do $$
begin
    execute format(
        'alter function session_snapshot_forget(date) security definer set search_path = %I, pg_temp',
        current_schema()
    );
    execute format(
        'alter function ledger_grant(regrole) set search_path = %I, pg_temp',
        current_schema()
    );
    revoke execute on function session_snapshot_forget(date), ledger_grant(regrole) from public;
end
$$;
