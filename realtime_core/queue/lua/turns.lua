-- Order by key, for the moves whose line of USES names it. KEYS needed: line turns busy later counts wake
-- A job with a key has a place, "KEY SEQ ID": SEQ is 16 digits, by the order of puts, and urgent ones sort before all others.
--   line  (sorted by bytes) places of the jobs that wait
--   busy  key -> how many of its jobs are in a consumer's hands, below zero if more may wait behind them; a busy key has no turn
--   later (sorted by bytes) places of the jobs that wait for another attempt; nothing behind such a place is given out
--   turns key -> its place in the line of keys; a key is there exactly when the first of its line may be given out
local SEQ = 16

local function first_of(places, key)
  return redis.call('ZRANGEBYLEX', places, '[' .. key .. ' ', '(' .. key .. '!', 'LIMIT', 0, 1)[1]
end

-- Digits of one length compare alike in every locale, which Lua's comparison of other text does not.
local function seq_of(place, key)
  return string.sub(place, #key + 2, #key + 1 + SEQ)
end

-- Keys join the end of the line of keys, or its head: there the first of them goes first. Who has a turn keeps it or goes ahead.
local function give(given, first)
  local total = #given + #first
  if total == 0 then return end
  local last = redis.call('HINCRBY', counts, 'turn', total)
  local scores = {}
  for i, key in ipairs(given) do scores[2 * i - 1], scores[2 * i] = last - total + i, key end
  for first_at = 1, #scores, 2000 do
    redis.call('ZADD', turns, 'NX', unpack(scores, first_at, math.min(first_at + 1999, #scores)))
  end
  scores = {}
  -- The first of them gets the lowest number.
  for i, key in ipairs(first) do scores[2 * i - 1], scores[2 * i] = i - 1 - last, key end
  each('ZADD', turns, scores)
  signal(wake)
end

-- Give each key its turn, or take it away, by how its jobs stand now. A turn that a key has is kept, unless it is to go first.
local function advance(names, front)
  if #names == 0 then return end
  local held, owned = redis.call('ZCARD', later) > 0, fetch('HMGET', busy, names)
  local given, none, first, followed = {}, {}, {}, {}
  for i, key in ipairs(names) do
    local head = not owned[i] and first_of(line, key)
    if owned[i] then followed[#followed + 1], followed[#followed + 2] = key, -math.abs(owned[i]) end
    if head and held then
      local wait = first_of(later, key)
      if wait and seq_of(wait, key) < seq_of(head, key) then head = nil end
    end
    if not head then
      none[#none + 1] = key
    elseif front or string.sub(head, #key + 2, #key + 2) == '0' then
      first[#first + 1] = key
    else
      given[#given + 1] = key
    end
  end
  each('ZREM', turns, none)
  each('HSET', busy, followed)
  give(given, first)
end

-- So many jobs of each key have left a consumer's hands; with `front` some are in line again, and the key goes first.
local function release(names, ended, front)
  if #names == 0 then return end
  local free, behind, fewer = {}, {}, {}
  for i, owned in ipairs(fetch('HMGET', busy, names)) do
    owned = tonumber(owned or '0')
    local left = math.abs(owned) - ended[names[i]]
    if left > 0 then
      fewer[#fewer + 1], fewer[#fewer + 2] = names[i], (owned < 0 or front) and -left or left
    else
      free[#free + 1] = names[i]
      if owned <= 0 or front then behind[#behind + 1] = names[i] end
    end
  end
  each('HDEL', busy, free)
  each('HSET', busy, fewer)
  advance(behind, front)
end
