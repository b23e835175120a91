-- The newest version of a session that somebody watches: it is not idle, so it goes no
-- sooner than half an idle span from now.
--
--   KEYS     life, state
--   ARGV     life, idle_ms
--   returns  {"held", header, body} | {"missing"} | {"newer", format} | {"life"}
if not number_of_life(KEYS[1], ARGV[1]) then
    return { 'life' }
end
local held = redis.call('hmget', KEYS[2], 'h', 'b')
if not held[1] then
    return { 'missing' }
elseif not header_of(held[1]) then
    return { 'newer', string.match(held[1], '^%d*') }
end
local left = redis.call('pttl', KEYS[2])
if left >= 0 and left < tonumber(ARGV[2]) / 2 then
    redis.call('pexpire', KEYS[2], ARGV[2])
end
return { 'held', held[1], held[2] }
