-- The master's time, which process it is, and what makes cluster time of its time.
--
--   KEYS     clock
--   returns  {seconds, microseconds, run id, run id that the offset is for or "",
--            offset_ms or ""}
local time = redis.call('time')
local run = string.match(redis.call('info', 'server'), 'run_id:(%w+)')
if not run then
    return redis.error_reply('NORUNID this server does not tell its run id')
end
local kept = redis.call('hmget', KEYS[1], 'run_id', 'offset_ms')
return {time[1], time[2], run, kept[1] or '', kept[2] or ''}
