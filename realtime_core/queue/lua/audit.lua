-- How many jobs are in each state and how many there ever were; on demand, which ids are not in exactly one state.
-- KEYS jobs ready delayed claimed owners tries stalled stamps channels counts
-- ARGV 1 most jobs whose ids are looked at (0: only the numbers)
-- returns {available, delayed, claimed, stalled, channels, {COUNTER, VALUE, …}, 1 if the ids were looked at,
--          ids without a state, states without a job, ids in two states, entries left behind by jobs that are gone}
-- cost O(1), or O(jobs held) when the ids are looked at
local sizes = {
  redis.call('LLEN', ready), redis.call('ZCARD', delayed), redis.call('ZCARD', claimed), redis.call('HLEN', stalled),
}
local held = math.max(sizes[1] + sizes[2] + sizes[3] + sizes[4], redis.call('HLEN', jobs), redis.call('HLEN', owners))
-- The epoch stands among the channels.
local numbered = math.max(0, redis.call('HLEN', channels) - 1)
local report = { sizes[1], sizes[2], sizes[3], sizes[4], numbered, redis.call('HGETALL', counts), 0, {}, {}, {}, {} }
if held > tonumber(ARGV[1]) or tonumber(ARGV[1]) == 0 then return report end

local places, phantom, double, left = {}, {}, {}, {}
local states = {
  redis.call('LRANGE', ready, 0, -1), redis.call('ZRANGE', delayed, 0, -1), redis.call('ZRANGE', claimed, 0, -1),
  redis.call('HKEYS', stalled),
}
for _, ids in ipairs(states) do
  for _, id in ipairs(ids) do places[id] = (places[id] or 0) + 1 end
end
local lost, present = {}, {}
for _, id in ipairs(redis.call('HKEYS', jobs)) do
  present[id] = true
  if not places[id] then lost[#lost + 1] = id end
end
for id, times in pairs(places) do
  if not present[id] then phantom[#phantom + 1] = id end
  if times > 1 then double[#double + 1] = id end
end
local leased = {}
for _, id in ipairs(states[3]) do leased[id] = true end
for _, id in ipairs(redis.call('HKEYS', owners)) do
  if not leased[id] then left[#left + 1] = id end
  leased[id] = nil
end
for id in pairs(leased) do left[#left + 1] = id end
for _, key in ipairs({ tries, stamps }) do
  for _, id in ipairs(redis.call('HKEYS', key)) do
    if not present[id] then left[#left + 1] = id end
  end
end
report[7], report[8], report[9], report[10], report[11] = 1, lost, phantom, double, left
return report
