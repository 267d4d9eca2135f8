-- Take new jobs in: all of them, or none when they do not fit.
-- KEYS jobs ready delayed counts wake recent older
-- ARGV 1 most jobs the queue may hold, 2 how long an id is remembered (ms), 3 most ids in one of the two sets that remember,
--      4 "ID DELAY ID DELAY …" (delay in ms; -1: urgent), 5.. their records in the same order
-- returns "1" or "0" for each job: taken, or its id is known; when they do not fit, how many jobs the queue holds
-- cost O(jobs put)
local ids, delays = {}, {}
for id, delay in string.gmatch(ARGV[4], '(%S+) (%S+)') do
  ids[#ids + 1], delays[#delays + 1] = id, tonumber(delay)
end

-- Ids are remembered in two sets: an id stays for one window at least and for two at most, and forgetting is two renames.
local window, since = tonumber(ARGV[2]), tonumber(redis.call('HGET', counts, 'recent_since') or '0')
local age = now - since
local in_recent = age < 2 * window and fetch('SMISMEMBER', recent, ids) or {}
local in_older = age < window and fetch('SMISMEMBER', older, ids) or {}

local taken, known, fresh, records = {}, {}, {}, {}
local line, urgent, later = {}, {}, {}
for i, id in ipairs(ids) do
  if known[id] or in_recent[i] == 1 or in_older[i] == 1 or redis.call('HEXISTS', jobs, id) == 1 then
    taken[i] = '0'
  else
    taken[i] = '1'
    known[id] = true
    fresh[#fresh + 1] = id
    records[#records + 1], records[#records + 2] = id, ARGV[4 + i]
    if delays[i] > 0 then
      later[#later + 1], later[#later + 2] = now + delays[i], id
    elseif delays[i] < 0 then
      table.insert(urgent, 1, id)
    else
      line[#line + 1] = id
    end
  end
end
local held = redis.call('HLEN', jobs)
if held + #fresh > tonumber(ARGV[1]) then return held end

-- The records go first: a server that is out of memory refuses a script's first command that needs some, and only that one.
each('HSET', jobs, records)
each('RPUSH', ready, line)
each('LPUSH', ready, urgent)
each('ZADD', delayed, later)
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
  each('SADD', recent, fresh)
  signal(wake)
end
return table.concat(taken)
