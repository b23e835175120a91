-- The newest version of a session.
--
--   KEYS     generation, state
--   ARGV     generation
--   returns  {"found", header, body} | {"missing"} | {"newer", format} | {"fenced"}
if not generation_number(KEYS[1], ARGV[1]) then
    return { 'fenced' }
end
local stored = redis.call('hmget', KEYS[2], 'h', 'b')
if not stored[1] then
    return { 'missing' }
elseif not header_of(stored[1]) then
    return { 'newer', string.match(stored[1], '^%d*') }
end
return { 'found', stored[1], stored[2] }
