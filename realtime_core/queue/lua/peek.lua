-- Look at jobs without touching them: those of one state, in their order.
-- KEYS jobs ready line turns delayed claimed owners tries
-- ARGV 1 "available", "delayed" or "claimed", 2 most jobs
-- returns for each job id, key ("/": none), "available", "held", "delayed" or "claimed", when it is due or its lease ends (ms; 0),
--         who has it ("/": nobody), its attempts so far, the bytes of its record
-- cost O(jobs returned × log(jobs held)), with keys that are held O(their jobs in line that are passed over)
local state, limit, found = ARGV[1], tonumber(ARGV[2]), {}

local function show(id, key, as, at, worker)
  local attempts = redis.call('HGET', tries, id) or '0'
  local attempt, who = string.match(worker or '', '^%d+:(%d+):(%S*)')
  local bytes = redis.call('HSTRLEN', jobs, id)
  found[#found + 1] = { id, key, as, tostring(at), who or '/', tonumber(attempt or attempts), bytes }
end

local function split(member)
  local key, id = string.match(member, '^(%S+) %d+ (%S+)$')
  return id or member, key or '/'
end

if state == 'available' then
  for _, id in ipairs(redis.call('LRANGE', ready, 0, limit - 1)) do show(id, '/', 'available', 0) end
  for _, key in ipairs(redis.call('ZRANGE', turns, 0, limit - 1)) do
    if #found >= limit then break end
    local places = redis.call('ZRANGEBYLEX', line, '[' .. key .. ' ', '(' .. key .. '!', 'LIMIT', 0, limit - #found)
    for _, place in ipairs(places) do
      local id = split(place)
      show(id, key, 'available', 0)
    end
  end
  -- Then what waits for an earlier job of its key, as far as there is room.
  for first = 0, 100000, 1000 do
    local places = #found < limit and redis.call('ZRANGE', line, first, first + 999) or {}
    if #places == 0 then break end
    local names, keys = {}, {}
    for i, place in ipairs(places) do names[i], keys[i] = split(place) end
    for i, turn in ipairs(redis.call('ZMSCORE', turns, unpack(keys))) do
      if not turn and #found < limit then show(names[i], keys[i], 'held', 0) end
    end
  end
else
  local from = state == 'delayed' and delayed or claimed
  local members = redis.call('ZRANGE', from, 0, limit - 1, 'WITHSCORES')
  for i = 1, #members, 2 do
    local id, key = split(members[i])
    local holder = state == 'claimed' and redis.call('HGET', owners, id) or nil
    if holder then key = string.match(holder, ' (%S+) %d+$') or '/' end
    show(id, key, state, members[i + 1], holder)
  end
end
return found
