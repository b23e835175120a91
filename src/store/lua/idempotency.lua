-- A memory of two generations, in two hashes: what is written to the young one is
-- remembered until it is old and then replaced, so nothing has to be swept.

local function recall(young, old, field)
    return redis.call('hget', young, field) or redis.call('hget', old, field)
end

-- The young generation becomes the old one when it has lasted `span` ms and holds
-- at least `enough`, or holds `most`. Who is not written to for `ttl` ms is forgotten.
local function remember(young, old, field, value, enough, most, span, ttl)
    local count = redis.call('hlen', young)
    if count > 0 and count % enough == 0 then
        local age = redis.call('time')[1] - redis.call('hget', young, '')
        if age * 1000 > tonumber(span) or count >= most then
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
