-- How many jobs are in each state and how many there ever were; on demand, which ids are not in exactly one state.
-- KEYS jobs ready line turns busy later delayed claimed owners tries history stalled stamps channels former counts
-- ARGV 1 most jobs whose ids are looked at (0: only the numbers)
-- returns {available, delayed, claimed, stalled, channels, keys in turn, keys claimed, jobs with a key that wait for another
--          attempt, {COUNTER, VALUE, …}, 1 if the ids were looked at, ids without a state, states without a job, ids in two
--          states, entries left behind by jobs that are gone, next jobs of keys that have no turn, keys given out wrongly}
-- cost O(1), or O(jobs held × log(jobs held)) when the ids are looked at
local sizes = {
  redis.call('LLEN', ready) + redis.call('ZCARD', line), redis.call('ZCARD', delayed), redis.call('ZCARD', claimed),
  redis.call('HLEN', stalled),
}
local held = math.max(sizes[1] + sizes[2] + sizes[3] + sizes[4], redis.call('HLEN', jobs), redis.call('HLEN', owners))
-- The epoch stands among the channels, in each generation.
local numbered = math.max(0, redis.call('HLEN', channels) - 1) + math.max(0, redis.call('HLEN', former) - 1)
local report = {
  sizes[1], sizes[2], sizes[3], sizes[4], numbered, redis.call('ZCARD', turns), redis.call('HLEN', busy),
  redis.call('ZCARD', later), redis.call('HGETALL', counts), 0, {}, {}, {}, {}, {}, {},
}
if held > tonumber(ARGV[1]) or tonumber(ARGV[1]) == 0 then return report end

local function id_of(member) return string.match(member, '(%S+)$') end
local places, phantom, double, left = {}, {}, {}, {}
local lined, waiting, leases = redis.call('ZRANGE', line, 0, -1), redis.call('ZRANGE', delayed, 0, -1), redis.call('ZRANGE', claimed, 0, -1)
for _, members in ipairs({ redis.call('LRANGE', ready, 0, -1), lined, waiting, leases, redis.call('HKEYS', stalled) }) do
  for _, member in ipairs(members) do
    local id = id_of(member)
    places[id] = (places[id] or 0) + 1
  end
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
local leased, hands = {}, {}
for _, id in ipairs(leases) do leased[id] = true end
local holders = redis.call('HGETALL', owners)
for i = 1, #holders, 2 do
  local id, key = holders[i], string.match(holders[i + 1], ' (%S+) %d+$')
  if not leased[id] then left[#left + 1] = id end
  leased[id] = nil
  if key then hands[key] = (hands[key] or 0) + 1 end
end
for id in pairs(leased) do left[#left + 1] = id end
for _, key in ipairs({ tries, history, stamps }) do
  for _, id in ipairs(redis.call('HKEYS', key)) do
    if not present[id] then left[#left + 1] = id end
  end
end

-- Keys: who has a turn must have a first job that nothing holds, and none in anybody's hands; and the other way round.
local delays, first, barrier, stuck, crossed = {}, {}, {}, {}, {}
for _, member in ipairs(waiting) do delays[member] = true end
for _, place in ipairs(redis.call('ZRANGE', later, 0, -1)) do
  local key, seq, id = string.match(place, '^(%S+) (%d+) (%S+)$')
  if not delays[place] then left[#left + 1] = id end
  if not barrier[key] then barrier[key] = seq end
end
for _, place in ipairs(lined) do
  local key, seq, id = string.match(place, '^(%S+) (%d+) (%S+)$')
  if not first[key] then first[key] = { seq, id } end
end
local counted, turned = redis.call('HGETALL', busy), {}
for i = 1, #counted, 2 do
  local key, many = counted[i], tonumber(counted[i + 1])
  local unseen = many > 0 and first[key] and not (barrier[key] and barrier[key] < first[key][1])
  if hands[key] ~= math.abs(many) or unseen then crossed[#crossed + 1] = key end
  hands[key] = hands[key] and true
end
for key, many in pairs(hands) do
  if many ~= true then crossed[#crossed + 1] = key end
end
for _, key in ipairs(redis.call('ZRANGE', turns, 0, -1)) do
  turned[key] = true
  if hands[key] or not first[key] or (barrier[key] and barrier[key] < first[key][1]) then crossed[#crossed + 1] = key end
end
for key, head in pairs(first) do
  if not turned[key] and not hands[key] and not (barrier[key] and barrier[key] < head[1]) then stuck[#stuck + 1] = head[2] end
end
report[10], report[11], report[12], report[13], report[14], report[15], report[16] = 1, lost, phantom, double, left, stuck, crossed
return report
