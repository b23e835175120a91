-- The master's time, its process, and the offset from its time to cluster time.
--
--   KEYS     clock
--   returns  {seconds, microseconds, run id, run id that the offset is for or "",
--            offset_ms or ""}
local time = redis.call('time')
local run = string.match(redis.call('info', 'server'), 'run_id:(%w+)')
if not run then
    return redis.error_reply('NORUNID this server does not tell its run id')
end
local stored = redis.call('hmget', KEYS[1], 'run_id', 'offset_ms')
return {time[1], time[2], run, stored[1] or '', stored[2] or ''}
