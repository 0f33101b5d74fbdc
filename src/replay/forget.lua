-- A delivered record becomes deliverable once more.  KEYS[1] record  ARGV window ms
-- Answer: D deliverable | F was never delivered | B ms_left, in flight: refused | N no such record
local k = KEYS[1]
local v = redis.call('HMGET', k, 's', 'x')
if not v[1] then return {'N'} end
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
if v[1] == 'D' then
  redis.call('HSET', k, 'w', string.format('%.0f', ms + ARGV[1]))
  return {'D'}
end
if v[1] == 'P' and tonumber(v[2]) > ms then return {'B', tonumber(v[2]) - ms} end
return {'F'}
