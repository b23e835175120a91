-- Why: in PostgreSQL the role that serves may not alter history. SQLite has no roles: whoever may
-- write to the file may alter all of it. The file and its folder are the service user's alone
-- (modes 0600 and 0700), and an altered row shows, as it does in PostgreSQL: each version carries
-- the digest of the one before. So there is nothing to do here.
select 1;
