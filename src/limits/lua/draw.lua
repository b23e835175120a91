-- Draw a lease of a tenant's quota (GCRA, by the master's clock). Who draws more than the burst
-- at once passes a full bucket, and is paid for afterwards.
--
--   KEYS     the instant at which the bucket is full again, in microseconds
--   ARGV     microseconds between two, burst, weight
--   returns  0 if it is granted, else how many microseconds to wait
local time = redis.call('time')
local now = time[1] * 1000000 + time[2]
local apart, burst, weight = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = math.max(tonumber(redis.call('get', KEYS[1]) or 0), now)
local wait = full_at + apart * math.min(weight, burst) - apart * burst - now
if wait > 0 then
  return math.ceil(wait)
end
local next = full_at + apart * weight
redis.call('set', KEYS[1], string.format('%.0f', next), 'px', math.ceil((next - now) / 1000) + 1)
return 0
