-- What became of an attempt.  KEYS[1] record  ARGV fence, attempt, keep ms, open ms, last 0|1, id digest or '',
-- MAC digest or '', 8 bytes of whose it is, how long ago (ms), event or '', number of required destinations, these, then
-- the destinations that answered 2xx
-- Answer: D delivered | A delivered already, by another | O open | F another attempt holds it (successes are noted all
-- the same)
local k, call = KEYS[1], redis.call
local v = call('HMGET', k, 's', 'f', 'n')
local s = v[1]
if s == 'D' then return 'A' end
local required = tonumber(ARGV[11])
local successes = 12 + required
local succeeded = successes <= #ARGV
local now = {}
for i = successes, #ARGV do now[ARGV[i]] = true end

-- Success is absorbing: it counts whoever holds the delivery by now, and if the record was lost in between (failover,
-- eviction) it makes one. Who had it matters no more at D.
local all = required > 0
for i = 12, 11 + required do
  if not now[ARGV[i]] and call('HEXISTS', k, 'd:' .. ARGV[i]) == 0 then all = false; break end
end
if all then
  local t = call('TIME')
  local ms = t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[9]
  local new = {'s', 'D', 't', string.format('%.0f', ms) .. ':' .. ARGV[8]}
  local function add(field, value)
    if value ~= '' then new[#new + 1] = field; new[#new + 1] = value end
  end
  add('i', ARGV[6])
  add('m', ARGV[7])
  add('e', ARGV[10])
  if s then
    call('HDEL', k, 'x', 'o')
  else
    add('f', ARGV[1])
  end
  -- Fewer only if it was lost in between.
  if tonumber(v[3] or 0) < tonumber(ARGV[2]) then add('n', ARGV[2]) end
  call('HSET', k, unpack(new))
  call('PEXPIRE', k, ARGV[3])
  return 'D'
end

if not s then
  if not succeeded then return 'O' end
  call('HSET', k, 's', 'F', 'f', ARGV[1], 'n', ARGV[2])
end
for i = successes, #ARGV do call('HSET', k, 'd:' .. ARGV[i], '1') end
-- A record's time is only ever made longer before it is delivered.
local own, ttl = not s or v[2] == ARGV[1], call('PTTL', k)
if succeeded then ttl = math.max(ttl, tonumber(ARGV[3])) end
if own and ARGV[5] == '1' then
  if s == 'P' then
    call('HSET', k, 's', 'F')
    call('HDEL', k, 'x', 'o')
  end
  ttl = math.max(ttl, tonumber(ARGV[4]))
end
call('PEXPIRE', k, string.format('%.0f', math.max(ttl, 1)))
return own and 'O' or 'F'
