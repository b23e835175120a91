-- Ends a lease. Counts of streams under it end as well.
--
--   KEYS     leases, members
--   ARGV     instance
--   returns  {"left", member, ...}, the members that remain
redis.call('zrem', KEYS[1], ARGV[1])
redis.call('hdel', KEYS[2], ARGV[1])
return with_live_members({ 'left' }, KEYS[1], KEYS[2], now_ms())
