-- The life this master lives for a partition; a new one, if it is another process
-- than the one that lived it, or what it held is gone.
--
--   KEYS     life
--   ARGV     now_ms, which is when a new one begins
--   returns  the life
--
-- Numbers rise with the master's clock, so that one is never used twice, not even
-- by a store that forgot all it had.
local run = string.match(redis.call('info', 'server'), 'run_id:(%w+)')
if not run then
    return redis.error_reply('NORUNID this server does not tell its run id')
end
local held = redis.call('get', KEYS[1])
if held and string.match(held, '^%d+%-(%w+)') == run then
    return held
end
local time = redis.call('time')
local number = time[1] * 1000000 + time[2]
local before = held and tonumber(string.match(held, '^%d+'))
if before and before >= number then
    number = before + 1
end
local life = string.format('%.0f-%s-%s', number, run, ARGV[1])
redis.call('set', KEYS[1], life)
return life
