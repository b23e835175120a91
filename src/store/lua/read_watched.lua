-- The newest version of a session that somebody watches. The session is not idle, so it
-- expires no sooner than half an idle TTL from now.
--
--   KEYS     generation, state
--   ARGV     generation, idle_ttl_ms
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
local left = redis.call('pttl', KEYS[2])
if left >= 0 and left < tonumber(ARGV[2]) / 2 then
    redis.call('pexpire', KEYS[2], ARGV[2])
end
return { 'found', stored[1], stored[2] }
