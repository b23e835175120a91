-- Which deployment this is, and which process of Redis holds it. One that is remembered
-- elsewhere is put back where it is forgotten here.
--
--   KEYS     deployment
--   ARGV     the id that is remembered, or ""
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
