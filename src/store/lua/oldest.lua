-- The oldest entries that wait for the ledger, with their bodies; no more than fit
-- into four megabytes, but at least one.
--
--   KEYS     life, outbox, bodies
--   ARGV     life, how many
--   returns  {"entries", how many wait, {ticket, entry, body or nil}...} | {"life"}
if not is_alive(KEYS[1], ARGV[1]) then
    return { 'life' }
end
local found = { 'entries', redis.call('xlen', KEYS[2]) }
local bytes = 0
for _, entry in ipairs(redis.call('xrange', KEYS[2], '-', '+', 'count', ARGV[2])) do
    local body = redis.call('hget', KEYS[3], entry[1])
    found[#found + 1] = { entry[1], entry[2][2], body }
    bytes = bytes + (body and #body or 0)
    if bytes > 4000000 then
        break
    end
end
return found
