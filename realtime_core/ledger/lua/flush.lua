-- One flush of one owner: cumulative, so that writing it twice, or after a later one, changes nothing.
-- KEYS 1 owner (hash), 2 owners (zset: last flush), 3 windows (zset: last write), 4 names (list), 5 counters (hash),
--      6.. one window each (hash)
-- ARGV 1 flush number, 2 keep in ms, 3 owner, 4 hops (JSON), 5 "1": closed, 6 counts dropped by the owner,
--      7 most names kept, 8 names dropped by the owner since its last flush;
--      then four a window: its name in KEYS[3], field, entries, table (or "");
--      then blocks of names, each beginning with how many it holds
-- returns the highest flush number that had arrived before; cost O(windows carried + names pushed out)
local number, keep, owner = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
local old = string.format('%.6f', tonumber(now) - keep / 1000)

redis.call('HSETNX', KEYS[1], 'started', now)
redis.call('HSET', KEYS[1], 'flushed', now, 'hops', ARGV[4], 'dropped', ARGV[6])
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'closed', now) else redis.call('HDEL', KEYS[1], 'closed') end
local before = tonumber(redis.call('HGET', KEYS[1], 'number') or '0')
if number > before then redis.call('HSET', KEYS[1], 'number', number) end
redis.call('PEXPIRE', KEYS[1], keep)
redis.call('ZADD', KEYS[2], now, owner)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', old)
redis.call('PEXPIRE', KEYS[2], keep)

local at = 9
for index = 6, #KEYS do
  local key, field = KEYS[index], ARGV[at + 1]
  -- Two flushes may arrive in the other order: entries and table each keep the number that wrote them, the later stays.
  local had = redis.call('HMGET', key, field .. '|en', field .. '|tn')
  if number >= tonumber(had[1] or '0') then
    redis.call('HSET', key, field .. '|e', ARGV[at + 2], field .. '|en', number)
  end
  if ARGV[at + 3] ~= '' and number >= tonumber(had[2] or '0') then
    redis.call('HSET', key, field .. '|t', ARGV[at + 3], field .. '|tn', number)
  end
  redis.call('PEXPIRE', key, keep)
  redis.call('ZADD', KEYS[3], now, ARGV[at])
  at = at + 4
end
if #KEYS > 5 then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', old)
  redis.call('PEXPIRE', KEYS[3], keep)
end

local dropped = tonumber(ARGV[8])
local function size_of(block) return tonumber(string.match(block, '^%d+')) end
for index = at, #ARGV do
  redis.call('RPUSH', KEYS[4], ARGV[index])
  local held = redis.call('HINCRBY', KEYS[5], 'names', size_of(ARGV[index]))
  while held > tonumber(ARGV[7]) do
    local block = redis.call('LPOP', KEYS[4])
    if not block then break end
    held = redis.call('HINCRBY', KEYS[5], 'names', -size_of(block))
    dropped = dropped + size_of(block)
  end
  redis.call('PEXPIRE', KEYS[4], keep)
end
if dropped > 0 then redis.call('HINCRBY', KEYS[5], 'names_dropped', dropped) end
redis.call('PEXPIRE', KEYS[5], keep)
return before
