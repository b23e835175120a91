-- Said before every script that rests on a store life: whether this master still
-- lives it.
--
-- A life is `<number>-<run id>-<began>`. The key tells a life that was lost or followed
-- by another; the run id tells a process that was started again from what it had on
-- disk, or took over from one that died. No command can slip in before this check:
-- it is part of every command. `info` is what the server says of itself, where it has
-- been asked already. Gives the life's number.
local function number_of_life(key, life, info)
    if redis.call('get', key) ~= life then
        return nil
    end
    local dash = string.find(life, '-', 1, true)
    -- Every run id is of forty digits.
    local run = string.sub(life, dash + 1, dash + 40)
    if string.find(info or redis.call('info', 'server'), run, 1, true) then
        return string.sub(life, 1, dash - 1)
    end
end

-- What is known of a stored session without its body:
-- `<format> <whether it may be let go> <head> <life number> <position> <ticket or ->
-- <operations>`. Nothing, where another release wrote it in a form of its own.
--
-- What a script has in its hands costs it a nanosecond or two a byte: so this stands
-- beside the body, and neither is put together with anything long.
local function header_of(stored)
    local life, position, ticket, operations = string.match(stored, '^1 %d %x+ (%d+) (%S+) (%S+) (%S+)$')
    if not life then
        return nil
    end
    return { life = life, position = position, ticket = ticket, operations = operations }
end
