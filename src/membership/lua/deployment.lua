-- The deployment's id, and the run id of Redis. An id that is remembered elsewhere is
-- stored again where it is lost here.
--
--   KEYS     deployment
--   ARGV     the remembered id, or ""
--   returns  {id or "", run id}
local run = string.match(redis.call('info', 'server'), 'run_id:(%w+)')
if not run then
    return redis.error_reply('NORUNID this server does not tell its run id')
end
local id = redis.call('get', KEYS[1]) or ARGV[1]
if id == ARGV[1] and id ~= '' then
    redis.call('set', KEYS[1], id, 'nx')
end
return { id, run }
