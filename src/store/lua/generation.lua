-- The store generation of a partition; a new one, if the master is another process than
-- the one that began it, or has lost its data.
--
--   KEYS     generation
--   ARGV     now_ms, the start of a new one
--   returns  the generation
--
-- Numbers rise with the master's clock, so that none is used twice, even by a store that
-- lost everything.
local run = string.match(redis.call('info', 'server'), 'run_id:(%w+)')
if not run then
    return redis.error_reply('NORUNID this server does not tell its run id')
end
local stored = redis.call('get', KEYS[1])
if stored and string.match(stored, '^%d+%-(%w+)') == run then
    return stored
end
local time = redis.call('time')
local number = time[1] * 1000000 + time[2]
local before = stored and tonumber(string.match(stored, '^%d+'))
if before and before >= number then
    number = before + 1
end
local generation = string.format('%.0f-%s-%s', number, run, ARGV[1])
redis.call('set', KEYS[1], generation)
return generation
