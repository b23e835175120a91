-- Publishes an instance's counts of streams, by subject.
--
--   KEYS     streams, ...
--   ARGV     instance, ttl_ms, count, ...
--   returns  1
for at, streams in ipairs(KEYS) do
    if ARGV[at + 2] == '0' then
        redis.call('hdel', streams, ARGV[1])
    else
        redis.call('hset', streams, ARGV[1], ARGV[at + 2])
        redis.call('pexpire', streams, ARGV[2])
    end
end
return 1
