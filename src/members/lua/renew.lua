-- Renews a lease, or begins one; tells whose leases last.
--
--   KEYS     leases, members
--   ARGV     instance, member, lease_ms
--   returns  {"new" or "renewed", member, ...}, in the order of their instances
--
-- A master whose clock is behind the one before it would let the dead live on; so
-- nobody's lease lasts longer than one that begins now.
local instance = ARGV[1]
local now = now_ms()
local latest = now + ARGV[3]
local before = redis.call('zscore', KEYS[1], instance)
redis.call('zadd', KEYS[1], latest, instance)
redis.call('hset', KEYS[2], instance, ARGV[2])
for _, late in ipairs(redis.call('zrangebyscore', KEYS[1], '(' .. string.format('%.0f', latest), '+inf')) do
    redis.call('zadd', KEYS[1], latest, late)
end
return with_living({ before and tonumber(before) > now and 'renewed' or 'new' }, KEYS[1], KEYS[2], now)
