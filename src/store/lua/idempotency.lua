-- A memory of two hashes, a young and an old one. The young one becomes the old one in
-- time, and replaces it, so that nothing has to be swept.

local function recall(young, old, field)
    return redis.call('hget', young, field) or redis.call('hget', old, field)
end

-- The young hash becomes the old one when it is older than `max_age` ms and holds at least
-- `min_count`, or holds `max_count`. Without a write both expire after `ttl` ms.
local function remember(young, old, field, value, min_count, max_count, max_age, ttl)
    local count = redis.call('hlen', young)
    if count > 0 and count % min_count == 0 then
        local age = redis.call('time')[1] - redis.call('hget', young, '')
        if age * 1000 > tonumber(max_age) or count >= max_count then
            redis.call('rename', young, old)
            redis.call('pexpire', old, ttl)
            count = 0
        end
    end
    if count == 0 then
        redis.call('hset', young, '', redis.call('time')[1], field, value)
    else
        redis.call('hset', young, field, value)
    end
    redis.call('pexpire', young, ttl)
end
