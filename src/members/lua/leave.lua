-- Ends a lease. What was told of streams under it counts no more.
--
--   KEYS     leases, members
--   ARGV     instance
--   returns  {"left", member, ...}, those that are left
redis.call('zrem', KEYS[1], ARGV[1])
redis.call('hdel', KEYS[2], ARGV[1])
return with_living({ 'left' }, KEYS[1], KEYS[2], now_ms())
