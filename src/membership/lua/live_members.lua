-- Removes leases that have ended, and appends the live members to `reply`, in the order of
-- their instances.
local function with_live_members(reply, leases, members, now)
    for _, dead in ipairs(redis.call('zrangebyscore', leases, '-inf', now)) do
        redis.call('zrem', leases, dead)
        redis.call('hdel', members, dead)
    end
    local live = redis.call('zrange', leases, 0, -1)
    table.sort(live)
    for _, instance in ipairs(live) do
        local member = redis.call('hget', members, instance)
        if member then
            reply[#reply + 1] = member
        end
    end
    return reply
end

local function now_ms()
    local time = redis.call('time')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
