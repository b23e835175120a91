-- Stores an offset for this process, if the stored one is still the one that was read.
--
--   KEYS     clock
--   ARGV     run id, offset_ms, run id that was read or "", offset_ms that was read or ""
--   returns  1 if it is stored, 0 if another is, or this is another process
local run = string.match(redis.call('info', 'server'), 'run_id:(%w+)')
local stored = redis.call('hmget', KEYS[1], 'run_id', 'offset_ms')
local is_unchanged = (stored[1] or '') == ARGV[3] and tonumber(stored[2] or '') == tonumber(ARGV[4])
if run ~= ARGV[1] or not is_unchanged then
    return 0
end
redis.call('hset', KEYS[1], 'run_id', ARGV[1], 'offset_ms', ARGV[2])
return 1
