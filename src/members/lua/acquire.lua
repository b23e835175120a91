-- Tells how many streams of a subject an instance has, if they and those of all other
-- members are no more than the limit.
--
--   KEYS     leases, streams
--   ARGV     instance, count, limit, told_for_ms
--   returns  1 if it was told, otherwise 0
--
-- What an instance told whose lease has ended is forgotten; if it comes back, it tells
-- all of it again.
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local total = tonumber(ARGV[2])
local told = redis.call('hgetall', KEYS[2])
for at = 1, #told, 2 do
    if told[at] ~= ARGV[1] then
        local ends = redis.call('zscore', KEYS[1], told[at])
        if ends and tonumber(ends) > now then
            total = total + told[at + 1]
        else
            redis.call('hdel', KEYS[2], told[at])
        end
    end
end
if total > tonumber(ARGV[3]) then
    return 0
end
redis.call('hset', KEYS[2], ARGV[1], ARGV[2])
redis.call('pexpire', KEYS[2], ARGV[4])
return 1
