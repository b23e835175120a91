-- Keeps a session whose newest version the ledger refused, or lets it go again when idle
-- once the ledger holds that version.
--
--   KEYS     life, state
--   ARGV     life, position, idle_ms after which it may go or "" if it is to be kept
--   returns  {"done"} | {"newer", format} | {"life"}
local life, position, idle = ARGV[1], ARGV[2], ARGV[3]
local state = KEYS[2]

if not number_of_life(KEYS[1], life) then
    return { 'life' }
end
local front = redis.call('hget', state, 'h')
if not front then
    return { 'done' }
end
local held = header_of(front)
if not held then
    return { 'newer', string.match(front, '^%d*') }
elseif held.position ~= position then
    return { 'done' }
end
local may_go = idle == '' and '0' or '1'
redis.call('hset', state, 'h', '1 ' .. may_go .. string.sub(front, 4))
if idle == '' then
    redis.call('persist', state)
else
    redis.call('pexpire', state, idle)
end
return { 'done' }
