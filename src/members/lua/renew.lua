-- Renews a lease, or begins one; tells whose leases last.
--
--   KEYS     leases, members
--   ARGV     instance, member, lease_ms
--   returns  {"new" or "renewed", member, ...}, in the order of their instances
--
-- A master whose clock is behind the one before it would let the dead live on; so
-- nobody's lease lasts longer than one that begins now.
local instance = ARGV[1]
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local latest = now + ARGV[3]
local before = redis.call('zscore', KEYS[1], instance)
redis.call('zadd', KEYS[1], latest, instance)
redis.call('hset', KEYS[2], instance, ARGV[2])
for _, late in ipairs(redis.call('zrangebyscore', KEYS[1], '(' .. string.format('%.0f', latest), '+inf')) do
    redis.call('zadd', KEYS[1], latest, late)
end
for _, dead in ipairs(redis.call('zrangebyscore', KEYS[1], '-inf', now)) do
    redis.call('zrem', KEYS[1], dead)
    redis.call('hdel', KEYS[2], dead)
end
local living = redis.call('zrange', KEYS[1], 0, -1)
table.sort(living)
local answer = {before and tonumber(before) > now and 'renewed' or 'new'}
for _, other in ipairs(living) do
    local member = redis.call('hget', KEYS[2], other)
    if member then
        answer[#answer + 1] = member
    end
end
return answer
