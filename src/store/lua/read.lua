-- The newest version of a session.
--
--   KEYS     life, state
--   ARGV     life
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
return { 'held', held[1], held[2] }
