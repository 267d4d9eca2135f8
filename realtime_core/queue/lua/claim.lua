-- Give a worker the next jobs, with a token, for the length of a lease. Delayed jobs that are due join the line first.
-- KEYS jobs ready line turns busy later delayed claimed owners tries channels counts wake
-- USES turns due notices life
-- ARGV 1 most jobs wanted, 2 lease in ms, 3 worker, 4 attempts a job may have
-- returns {now in ms, when the next delayed job is due or a lease ends (ms; 0: nothing), token, "ID ID …", "LENGTH LENGTH …" of the
--          records, the records end to end, "ATTEMPT ATTEMPT …" or "" when each is at its first}
-- cost O(jobs claimed × log(jobs held))
local limit, most = tonumber(ARGV[1]), tonumber(ARGV[4])
-- Where a job has one attempt, each is a last one, and a last one is made alone.
if most <= 1 then limit = math.min(limit, 1) end
join_due()

local soonest = 0
for _, key in ipairs({ delayed, claimed }) do
  local at = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or '0')
  if at > 0 and (soonest == 0 or at < soonest) then soonest = math.ceil(at) end
end

-- A key gives as much of its line as there is room for: it then joins the end of the line of keys.
-- Where jobs without a key wait too, each kind gets half.
local ids, places, key_of, followed = {}, {}, {}, false
local keyed = redis.call('ZCARD', turns) > 0
if keyed then
  local plain, share = redis.call('LLEN', ready), limit
  if plain > 0 then
    local odd = tonumber(redis.call('HGET', counts, 'token') or '0') % 2
    share = limit - math.min(plain, math.floor((limit + odd) / 2))
  end
  local names = share > 0 and redis.call('ZRANGE', turns, 0, share - 1) or {}
  local held = redis.call('ZCARD', later) > 0
  for _, key in ipairs(names) do
    local stop = held and first_of(later, key)
    -- One more than there is room for, to know whether there is more.
    local more = redis.call(
      'ZRANGEBYLEX', line, '[' .. key .. ' ', '(' .. (stop or key .. '!'), 'LIMIT', 0, share - #places + 1
    )
    for _, place in ipairs(more) do
      local at = #places + 1
      if at > share then
        followed = true
        break
      end
      places[at], key_of[at], ids[at] = place, key, string.sub(place, #key + SEQ + 3)
    end
    followed = followed or stop
    if #places >= share then break end
  end
end
if #ids < limit then
  local plain = redis.call('LPOP', ready, limit - #ids)
  if #ids == 0 then
    ids = plain or ids
  else
    for _, id in ipairs(plain or {}) do ids[#ids + 1] = id end
  end
end
if #ids == 0 then return { now, soonest, 0, '', '', '', '' } end

local before = redis.call('HLEN', tries) > 0 and fetch('HMGET', tries, ids) or nil
if before then
  -- A last attempt is made alone: a job that kills its worker takes no neighbour with it.
  local together = #ids
  for i = 1, #ids do
    if before[i] and before[i] + 1 >= most then
      together = math.max(1, i - 1)
      break
    end
  end
  if together < #ids then
    local back = {}
    for i = #ids, together + 1, -1 do
      -- One with a key is still in its line.
      if places[i] then followed = true else back[#back + 1] = ids[i] end
      ids[i], places[i] = nil, nil
    end
    each('LPUSH', ready, back)
  end
end

if #places > 0 then
  local names, owned, alone, first = {}, {}, {}, 1
  for i = 1, #places do
    local key = key_of[i]
    if i == #places or key_of[i + 1] ~= key then
      names[#names + 1] = key
      owned[#owned + 1], owned[#owned + 2] = key, followed and first - i - 1 or i - first + 1
      if i == first then
        alone[#alone + 1] = places[i]
      else
        redis.call('ZREMRANGEBYLEX', line, '[' .. places[first], '[' .. places[i])
      end
      first = i + 1
    end
  end
  each('ZREM', line, alone)
  each('ZREM', turns, names)
  each('HSET', busy, owned)
end

begin_life()
local token = string.format('%.0f', redis.call('HINCRBY', counts, 'token', 1))
-- Leases of one batch end 1/4096 ms after another, so that jobs that are taken back are still in their order.
local first = token .. ':1:' .. ARGV[3]
local until_ms = now + tonumber(ARGV[2])
local leases, holders, attempts = {}, {}, {}
for i, id in ipairs(ids) do
  local holder = first
  if before then
    attempts[i] = (before[i] or 0) + 1
    holder = token .. ':' .. attempts[i] .. ':' .. ARGV[3]
  end
  if places[i] then holder = holder .. ' ' .. string.sub(places[i], 1, #key_of[i] + 1 + SEQ) end
  leases[2 * i - 1], leases[2 * i] = until_ms + i / 4096, id
  holders[2 * i - 1], holders[2 * i] = id, holder
end
each('ZADD', claimed, leases)
each('HSET', owners, holders)
count(counts, 'claimed', #ids)
if redis.call('LLEN', ready) > 0 or (keyed and redis.call('ZCARD', turns) > 0) then signal(wake) end

if listened() then
  local tried = {}
  for i = 1, #ids do tried[i] = attempts[i] or 1 end
  tell({ { 'claimed', ids, tried } })
end

local records = fetch('HMGET', jobs, ids)
local lengths = {}
for i, record in ipairs(records) do lengths[i] = #record end
return {
  now, soonest, tonumber(token), table.concat(ids, ' '), table.concat(lengths, ' '), table.concat(records), table.concat(attempts, ' '),
}
