-- Lives of a server, for the moves whose line of USES names it. KEYS needed: channels counts
-- A server that was promoted or started again may lack the last writes, and would give their numbers a second time. Its replication id
-- tells: it is another one after either. Then tokens go on where none was ever given, and events are of another epoch.
-- The id changes too when a first replica joins, or the last one has been gone for an hour: that is the same process, and has no
-- second id, which a promoted one has. Where INFO is refused or tells no id, nothing is known and nothing changes.
local function number_of(id, first, last)
  return tonumber(string.sub(id, first, last), 16)
end

local function begin_life()
  local told = redis.pcall('INFO', 'replication')
  local id = type(told) == 'string' and string.match(told, 'master_replid:(%x+)') or ''
  if #id < 20 then return end
  -- As numbers: the version before this reads all of the counts as such.
  local life, known = string.format('%.0f', number_of(id, 1, 12)), redis.call('HMGET', counts, 'life', 'run')
  if life == known[1] then return end
  local server = redis.pcall('INFO', 'server')
  local process = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or '0'
  local run = string.format('%.0f', number_of(process, 1, 12))
  if known[2] ~= run or not string.find(told, 'master_replid2:0+%s') then
    -- More than anybody claims between two writes that are copied. And by chance, for two replicas that were promoted from one state;
    -- and by time, for a queue that was deleted: nobody claims as often as every microsecond.
    -- An even number: the parity of tokens says which line a batch begins with.
    local some = (number_of(id, 13, 20) + clock[1] * 1000000 + clock[2]) % 4294967296
    redis.call('HINCRBY', counts, 'token', string.format('%.0f', 4294967296 + some - some % 2))
    -- The version before this noted no life: what it stamped is taken to be there.
    local epoch = known[1] and redis.call('HGET', channels, '')
    if epoch then
      local another = math.max(now, tonumber(epoch) + 1) + number_of(id, 17, 20)
      redis.call('HSET', channels, '', string.format('%.0f', another))
    end
  end
  redis.call('HSET', counts, 'life', life, 'run', run)
end
