-- Number a job's events, one a channel: the next number of the channel, or the one that an earlier attempt was given.
-- KEYS claimed owners stamps channels former counts
-- USES life
-- ARGV one for each job: "ID TOKEN CHANNEL CHANNEL …"; the last: how long a channel's counter is kept, ms
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


-- Counters age by generations: after a while the former one goes, and the one in use becomes the former. A channel whose
-- counter went begins at 1 again, in an epoch of its own that is above all before: no id is given twice.
local window = tonumber(table.remove(ARGV))
local ages = redis.call('HMGET', counts, 'channels_since', 'channels_aged')
local since, aged = tonumber(ages[1] or 'none'), tonumber(ages[2] or 'none')
if not since or now - since > window then
  if since and redis.call('UNLINK', former) == 1 then
    aged = math.max(now, tonumber(epoch) + 1, (aged or 0) + 1)
    redis.call('HSET', counts, 'channels_aged', string.format('%.0f', aged))
  end
  if since then
    redis.call('RENAME', channels, former)
    redis.call('HSET', channels, '', epoch)
  end
  redis.call('HSET', counts, 'channels_since', now)
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

local last, own, new = {}, {}, {}
local function read(channel, counter)
  local number, theirs = string.match(counter, '^(%d+) ?(%d*)$')
  last[channel], own[channel] = tonumber(number), tonumber(theirs)
end
for i, counter in ipairs(fetch('HMGET', channels, names)) do
  if counter then read(names[i], counter) else new[#new + 1] = names[i] end
end
local moved = {}
for i, counter in ipairs(fetch('HMGET', former, new)) do
  if counter then
    read(new[i], counter)
    moved[#moved + 1] = new[i]
  else
    last[new[i]], own[new[i]] = 0, aged
  end
end
local lines, kept = {}, {}
for i, id in ipairs(ids) do
  local mine, parts, events, more = {}, {}, {}, false
  for channel, event in string.gmatch(given[i] or '', '(%S+) (%S+)') do
    mine[channel] = event
    parts[#parts + 1] = channel .. ' ' .. event
  end
  for at, channel in ipairs(wanted[i]) do
    if not mine[channel] then
      last[channel] = last[channel] + 1
      local its = math.max(tonumber(epoch), own[channel] or 0)
      mine[channel] = string.format('%.0f-%d', its, last[channel])
      parts[#parts + 1] = channel .. ' ' .. mine[channel]
      more = true
    end
    events[at] = mine[channel]
  end
  if more then kept[#kept + 1], kept[#kept + 2] = id, table.concat(parts, ' ') end
  lines[i] = table.concat(events, ' ')
end

local numbers = {}
for i, channel in ipairs(names) do
  local number = string.format('%d', last[channel])
  numbers[2 * i - 1], numbers[2 * i] = channel, own[channel] and string.format('%s %.0f', number, own[channel]) or number
end
each('HSET', channels, numbers)
each('HDEL', former, moved)
each('HSET', stamps, kept)
return table.concat(lines, '\n')
