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

local ids, held_by, rest = {}, {}, {}
for i, words in ipairs(ARGV) do ids[i], held_by[i], rest[i] = string.match(words, '^(%S+) (%S+) ?(.*)$') end
local holders = fetch('HMGET', owners, ids)
local given = redis.call('HLEN', stamps) > 0 and fetch('HMGET', stamps, ids) or {}

-- Most jobs have one channel: `wanted` is its name then, and a list of them else; false where the token is no longer the job's.
local wanted, names, known, token, prefix = {}, {}, {}, nil, nil
local function want(channel)
  if not known[channel] then
    known[channel] = true
    names[#names + 1] = channel
  end
end
for i, text in ipairs(rest) do
  if held_by[i] ~= token then token, prefix = held_by[i], held_by[i] .. ':' end
  wanted[i] = false
  if holders[i] and string.sub(holders[i], 1, #prefix) == prefix and text ~= '' then
    if string.find(text, ' ', 1, true) then
      wanted[i] = {}
      for channel in string.gmatch(text, '%S+') do
        table.insert(wanted[i], channel)
        want(channel)
      end
    else
      wanted[i] = text
      want(text)
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

local its = string.format('%.0f', epoch)
local function next_of(channel)
  last[channel] = last[channel] + 1
  local theirs = own[channel]
  local before = theirs and theirs > tonumber(epoch) and string.format('%.0f', theirs) or its
  return before .. '-' .. string.format('%d', last[channel])
end
local lines, kept = {}, {}
for i, id in ipairs(ids) do
  local stamped = given[i] or ''
  if wanted[i] and wanted[i] == rest[i] and stamped == '' then
    lines[i] = next_of(wanted[i])
    kept[#kept + 1], kept[#kept + 2] = id, wanted[i] .. ' ' .. lines[i]
  elseif wanted[i] then
    local mine, parts, events, more = {}, {}, {}, false
    for channel, event in string.gmatch(stamped, '(%S+) (%S+)') do
      mine[channel] = event
      parts[#parts + 1] = channel .. ' ' .. event
    end
    for at, channel in ipairs(type(wanted[i]) == 'table' and wanted[i] or { wanted[i] }) do
      if not mine[channel] then
        mine[channel] = next_of(channel)
        parts[#parts + 1] = channel .. ' ' .. mine[channel]
        more = true
      end
      events[at] = mine[channel]
    end
    if more then kept[#kept + 1], kept[#kept + 2] = id, table.concat(parts, ' ') end
    lines[i] = table.concat(events, ' ')
  else
    lines[i] = ''
  end
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
