-- Ends a lease. What was told of streams under it counts no more.
--
--   KEYS     leases, members
--   ARGV     instance
--   returns  1
redis.call('zrem', KEYS[1], ARGV[1])
redis.call('hdel', KEYS[2], ARGV[1])
return 1
