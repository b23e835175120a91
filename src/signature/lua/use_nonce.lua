-- Remember a nonce, unless it is remembered already.
--
--   KEYS     nonce
--   ARGV     ttl_ms
--   returns  1 for the first use, else 0
if redis.call('set', KEYS[1], '', 'nx', 'px', ARGV[1]) then return 1 end
return 0
