-- Publishes an instance's count of a subject's streams, if with those of all other members
-- it is within the limit.
--
--   KEYS     leases, streams
--   ARGV     instance, count, limit, ttl_ms
--   returns  1 if it is published, otherwise 0
--
-- A count whose instance has no lease is removed; an instance that comes back publishes
-- all its counts again.
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local total = tonumber(ARGV[2])
local counts = redis.call('hgetall', KEYS[2])
for at = 1, #counts, 2 do
    if counts[at] ~= ARGV[1] then
        local ends = redis.call('zscore', KEYS[1], counts[at])
        if ends and tonumber(ends) > now then
            total = total + counts[at + 1]
        else
            redis.call('hdel', KEYS[2], counts[at])
        end
    end
end
if total > tonumber(ARGV[3]) then
    return 0
end
redis.call('hset', KEYS[2], ARGV[1], ARGV[2])
redis.call('pexpire', KEYS[2], ARGV[4])
return 1
