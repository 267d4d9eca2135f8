-- What the moves share; put in front of each of them. A move's own line of KEYS becomes its local names.
-- No call gets more than 2,000 arguments from a list: Lua's stack holds about 8,000.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function each(command, key, list)
  for first = 1, #list, 2000 do
    redis.call(command, key, unpack(list, first, math.min(first + 1999, #list)))
  end
end

local function fetch(command, key, list)
  if #list <= 2000 then
    return #list > 0 and redis.call(command, key, unpack(list)) or {}
  end
  local found = {}
  for first = 1, #list, 2000 do
    local part = redis.call(command, key, unpack(list, first, math.min(first + 1999, #list)))
    for i = 1, #part do found[first + i - 1] = part[i] end
  end
  return found
end

local function count(key, name, by)
  if by > 0 then redis.call('HINCRBY', key, name, by) end
end

-- A server that is out of memory refuses a script's first write if that one needs some, and no write after it. So a move
-- that leads jobs out of the queue begins with one that needs none, and does nothing: no id is empty. (The flag
-- allow-oom would say the same, to Redis 7 and later only.) In a transaction it is the other way round: there it begins with
-- one that needs some and does nothing, and is refused together with what stands beside it.
local function drains(leases)
  if TOGETHER then redis.call('ZADD', leases, 'XX', 0, '') else redis.call('ZREM', leases, '') end
end

-- One token is enough: who takes it and leaves jobs behind puts another.
local function signal(key)
  if redis.call('LLEN', key) == 0 then redis.call('RPUSH', key, 1) end
end
