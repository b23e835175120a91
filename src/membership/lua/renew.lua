-- Renews a lease, or begins one; returns the live members.
--
--   KEYS     leases, members, control
--   ARGV     instance, member, lease_ms
--   returns  {"new" or "renewed", revision of the control state or "", member, ...}, in the
--            order of their instances
--
-- After a failover the new master's clock may be behind, and dead leases would last too
-- long: so no lease lasts longer than one that begins now.
local instance = ARGV[1]
local now = now_ms()
local latest = now + ARGV[3]
local before = redis.call('zscore', KEYS[1], instance)
redis.call('zadd', KEYS[1], latest, instance)
redis.call('hset', KEYS[2], instance, ARGV[2])
for _, late in ipairs(redis.call('zrangebyscore', KEYS[1], '(' .. string.format('%.0f', latest), '+inf')) do
    redis.call('zadd', KEYS[1], latest, late)
end
local is_renewed = before and tonumber(before) > now
local revision = redis.call('hget', KEYS[3], 'revision') or ''
return with_live_members({ is_renewed and 'renewed' or 'new', revision }, KEYS[1], KEYS[2], now)
