-- Brings the copy of what administrators have set up to a revision.
--
--   KEYS     control
--   ARGV     "since", "all" or "instead"; the revision it starts from; the revision it leads to;
--            the number of fields to set; field, value, ...; field to delete, ...
--   returns  "published", "newer" (the copy has that or more) or "behind" (all is needed)
--
-- "instead" replaces a copy whatever its revision: the ledger is older than the copy.
local control, mode = KEYS[1], ARGV[1]
local since, revision = tonumber(ARGV[2]), tonumber(ARGV[3])
local stored = tonumber(redis.call('hget', control, 'revision') or '')
if mode ~= 'instead' and stored and stored >= revision then
    return 'newer'
end
if mode == 'since' and (not stored or stored < since) then
    return 'behind'
end
if mode ~= 'since' then
    redis.call('del', control)
end
local fields_end = 4 + 2 * tonumber(ARGV[4])
for at = 5, fields_end, 2 do
    redis.call('hset', control, ARGV[at], ARGV[at + 1])
end
for at = fields_end + 1, #ARGV do
    redis.call('hdel', control, ARGV[at])
end
redis.call('hset', control, 'revision', ARGV[3])
return 'published'
