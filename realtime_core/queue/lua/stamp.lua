-- Number a job's events, one a channel: the next number of the channel, or the one that an earlier attempt was given.
-- KEYS claimed owners stamps channels counts
-- USES life
-- ARGV one for each job: "ID TOKEN CHANNEL CHANNEL …"
-- returns a line for each job: its event ids, separated by spaces; an empty line where the token is no longer the job's
-- cost O(jobs + channels named)
drains(claimed)
-- The epoch is kept under the empty name among the counters themselves: they can only be lost together.
begin_life()
local epoch = redis.call('HGET', channels, '')
if not epoch then
  epoch = string.format('%d', now)
  redis.call('HSET', channels, '', epoch)
end

local ids = {}
for i, words in ipairs(ARGV) do ids[i] = string.match(words, '^%S+') end
local holders = fetch('HMGET', owners, ids)
local given = redis.call('HLEN', stamps) > 0 and fetch('HMGET', stamps, ids) or {}

local wanted, names, known = {}, {}, {}
for i, words in ipairs(ARGV) do
  local _, token, rest = string.match(words, '^(%S+) (%S+)(.*)$')
  wanted[i] = {}
  if holders[i] and string.sub(holders[i], 1, #token + 1) == token .. ':' then
    for channel in string.gmatch(rest, '%S+') do
      table.insert(wanted[i], channel)
      if not known[channel] then
        known[channel] = true
        names[#names + 1] = channel
      end
    end
  end
end

local last, before = {}, fetch('HMGET', channels, names)
for i, channel in ipairs(names) do last[channel] = tonumber(before[i] or '0') end
local lines, kept = {}, {}
for i, id in ipairs(ids) do
  local mine, parts, events, new = {}, {}, {}, false
  for channel, event in string.gmatch(given[i] or '', '(%S+) (%S+)') do
    mine[channel] = event
    parts[#parts + 1] = channel .. ' ' .. event
  end
  for at, channel in ipairs(wanted[i]) do
    if not mine[channel] then
      last[channel] = last[channel] + 1
      mine[channel] = epoch .. '-' .. string.format('%d', last[channel])
      parts[#parts + 1] = channel .. ' ' .. mine[channel]
      new = true
    end
    events[at] = mine[channel]
  end
  if new then kept[#kept + 1], kept[#kept + 2] = id, table.concat(parts, ' ') end
  lines[i] = table.concat(events, ' ')
end

local numbers = {}
for i, channel in ipairs(names) do
  numbers[2 * i - 1], numbers[2 * i] = channel, string.format('%d', last[channel])
end
each('HSET', channels, numbers)
each('HSET', stamps, kept)
return table.concat(lines, '\n')
