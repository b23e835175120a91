-- Whose leases last, now that those that have ended are let go: their members, in the
-- order of their instances, behind what stands in `answer`.
local function with_living(answer, leases, members, now)
    for _, dead in ipairs(redis.call('zrangebyscore', leases, '-inf', now)) do
        redis.call('zrem', leases, dead)
        redis.call('hdel', members, dead)
    end
    local living = redis.call('zrange', leases, 0, -1)
    table.sort(living)
    for _, other in ipairs(living) do
        local member = redis.call('hget', members, other)
        if member then
            answer[#answer + 1] = member
        end
    end
    return answer
end

local function now_ms()
    local time = redis.call('time')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
