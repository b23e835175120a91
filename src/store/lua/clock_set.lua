-- Keeps an offset for this process, if what is kept is still what was seen.
--
--   KEYS     clock
--   ARGV     run id, offset_ms, run id that was seen or "", offset_ms that was seen or ""
--   returns  1 if it is kept, 0 if another is, or this is another process
local run = string.match(redis.call('info', 'server'), 'run_id:(%w+)')
local kept = redis.call('hmget', KEYS[1], 'run_id', 'offset_ms')
local is_seen = (kept[1] or '') == ARGV[3] and tonumber(kept[2] or '') == tonumber(ARGV[4])
if run ~= ARGV[1] or not is_seen then
    return 0
end
redis.call('hset', KEYS[1], 'run_id', ARGV[1], 'offset_ms', ARGV[2])
return 1
