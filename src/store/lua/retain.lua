-- Retains a session whose newest version the ledger refused, or lets it expire again when
-- idle once the ledger holds that version.
--
--   KEYS     generation, state
--   ARGV     generation, position, idle_ttl_ms or "" if it is retained
--   returns  {"done"} | {"newer", format} | {"fenced"}
local generation, position, idle_ttl_ms = ARGV[1], ARGV[2], ARGV[3]
local state = KEYS[2]

if not generation_number(KEYS[1], generation) then
    return { 'fenced' }
end
local header = redis.call('hget', state, 'h')
if not header then
    return { 'done' }
end
local stored = header_of(header)
if not stored then
    return { 'newer', string.match(header, '^%d*') }
elseif stored.position ~= position then
    return { 'done' }
end
local may_expire = idle_ttl_ms == '' and '0' or '1'
redis.call('hset', state, 'h', '1 ' .. may_expire .. string.sub(header, 4))
if idle_ttl_ms == '' then
    redis.call('persist', state)
else
    redis.call('pexpire', state, idle_ttl_ms)
end
return { 'done' }
