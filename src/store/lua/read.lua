-- The newest version of a session.
--
--   KEYS     life, state
--   ARGV     life
--   returns  {"held", stored} | {"missing"} | {"newer", format} | {"life"}
if not is_alive(KEYS[1], ARGV[1]) then
    return { 'life' }
end
local stored = redis.call('get', KEYS[2])
if not stored then
    return { 'missing' }
elseif not header_of(string.sub(stored, 1, HEADER)) then
    return { 'newer', string.match(stored, '^%d*') }
end
return { 'held', stored }
