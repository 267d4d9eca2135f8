-- Take new jobs in: all of them, or none when they do not fit.
-- KEYS jobs ready line turns busy later delayed counts wake recent older
-- USES turns notices
-- ARGV 1 most jobs the queue may hold, 2 how long an id is remembered (ms), 3 most ids in one of the two sets that remember,
--      4 "ID ID …", 5 "DELAY DELAY …" in the same order (ms; -1: urgent) or "" when none has one, 6 "KEY KEY …" in the same order
--      ("/": none) or "" when none has a key, 7.. their records in the same order
-- returns "1" or "0" for each job: taken, or its id is known; when they do not fit, how many jobs the queue holds
-- cost O(jobs put), for those with a key × log(jobs with a key)
local function listed(text)
  local words, number = {}, 0
  for word in string.gmatch(text, '%S+') do
    number = number + 1
    words[number] = word
  end
  return words
end
local ids, delays, key_of = listed(ARGV[4]), listed(ARGV[5]), listed(ARGV[6])

-- Ids are remembered in two sets: an id stays for one window at least and for two at most, and forgetting is two renames.
local stood = redis.call('HMGET', counts, 'recent_since', 'seq')
local window, age = tonumber(ARGV[2]), now - tonumber(stood[1] or '0')
local in_recent = age < 2 * window and fetch('SMISMEMBER', recent, ids) or {}
local in_older = age < window and fetch('SMISMEMBER', older, ids) or {}

-- A job that is forgotten may be here still. Of a few ids that is one question, whose answer has their records: 16 MiB at most.
local records_of = #ids <= 16 and redis.call('HMGET', jobs, unpack(ids))
local function is_here(i, id)
  if records_of then return records_of[i] end
  return redis.call('HEXISTS', jobs, id) == 1
end
local taken, known, fresh = {}, {}, {}
for i, id in ipairs(ids) do
  if known[id] or in_recent[i] == 1 or in_older[i] == 1 or is_here(i, id) then
    taken[i] = '0'
  else
    taken[i] = '1'
    known[id] = true
    fresh[#fresh + 1] = i
  end
end
local held = redis.call('HLEN', jobs)
if held + #fresh > tonumber(ARGV[1]) then return held end

local put, records, plain, urgent, wait = {}, {}, {}, {}, {}
local places, names, hurry, format, placed = {}, {}, {}, string.format, 0
local keyed, delayed_some = #key_of > 0 and tonumber(stood[2] or '0'), #delays > 0
for at, i in ipairs(fresh) do
  local id, delay, record, key = ids[i], delayed_some and tonumber(delays[i]) or 0, ARGV[6 + i], key_of[i]
  local member = id
  put[at] = id
  if key and key ~= '/' then
    -- Of several urgent ones put together the first goes first, and all go before what was put earlier.
    local seq = delay < 0 and format('0%015d', 999999999999999 - keyed - #fresh + at) or format('1%015d', keyed + at)
    record = seq .. ':' .. record
    member = key .. ' ' .. seq .. ' ' .. id
    if delay <= 0 then
      places[placed + 1], places[placed + 2] = 0, member
      placed = placed + 2
      if hurry[key] == nil then names[#names + 1] = key end
      hurry[key] = hurry[key] or delay < 0
    end
  elseif delay < 0 then
    urgent[#urgent + 1] = id
  elseif delay == 0 then
    plain[#plain + 1] = id
  end
  if delay > 0 then wait[#wait + 1], wait[#wait + 2] = now + delay, member end
  records[2 * at - 1], records[2 * at] = id, record
end

-- The records go first: a server that is out of memory refuses a script's first command that needs some, and only that one.
each('HSET', jobs, records)
each('RPUSH', ready, plain)
local backwards = {}
for i = #urgent, 1, -1 do backwards[#backwards + 1] = urgent[i] end
each('LPUSH', ready, backwards)
each('ZADD', delayed, wait)
if keyed and #fresh > 0 then
  redis.call('HINCRBY', counts, 'seq', #fresh)
  each('ZADD', line, places)
  -- A key that has its turn keeps it: only the others, and the urgent, are looked at.
  local turned, moved = fetch('ZMSCORE', turns, names), {}
  for i, key in ipairs(names) do
    if not turned[i] or hurry[key] then moved[#moved + 1] = key end
  end
  if redis.call('ZCARD', later) > 0 then
    advance(moved)
  else
    -- Nothing holds a key but a consumer; so one that is free and had no turn had no job in line.
    local given, first, followed = {}, {}, {}
    for i, owned in ipairs(fetch('HMGET', busy, moved)) do
      local key = moved[i]
      if owned then
        followed[#followed + 1], followed[#followed + 2] = key, -math.abs(owned)
      elseif hurry[key] then
        first[#first + 1] = key
      else
        given[#given + 1] = key
      end
    end
    each('HSET', busy, followed)
    give(given, first)
  end
end
count(counts, 'put', #fresh)
count(counts, 'duplicate', #ids - #fresh)
if #fresh > 0 then
  local crowded = redis.call('SCARD', recent) + #fresh > tonumber(ARGV[3])
  if age >= window or crowded then
    if age < window then count(counts, 'forgotten', redis.call('SCARD', older)) end
    redis.call('UNLINK', older)
    if age < 2 * window and redis.call('EXISTS', recent) == 1 then redis.call('RENAME', recent, older) end
    redis.call('UNLINK', recent)
    redis.call('HSET', counts, 'recent_since', now)
  end
  each('SADD', recent, put)
  if #plain + #urgent + #wait > 0 then signal(wake) end
end
if #put > 0 and listened() then tell({ { 'published', put } }) end
return table.concat(taken)
