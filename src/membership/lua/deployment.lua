-- The deployment's id, and the run id of Redis. An id that is remembered elsewhere is
-- stored again where it is lost here, and in the place of the id that it replaces.
--
--   KEYS     deployment
--   ARGV     the remembered id, or ""; the id that it replaces, or ""
--   returns  {id or "", run id}
local run = string.match(redis.call('info', 'server'), 'run_id:(%w+)')
if not run then
    return redis.error_reply('NORUNID this server does not tell its run id')
end
local remembered, replaced = ARGV[1], ARGV[2]
local id = redis.call('get', KEYS[1]) or ''
if remembered ~= '' and (id == '' or id == replaced) then
    redis.call('set', KEYS[1], remembered)
    id = remembered
end
return { id, run }
