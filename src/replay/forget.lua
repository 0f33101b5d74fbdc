-- A delivered record becomes deliverable once more.  KEYS[1] record  ARGV window ms
-- Answer: D deliverable | F was never delivered | B ms_left, in flight: refused | N no such record
local k, call = KEYS[1], redis.call
local v = call('GET', k)
if not v then return {'N'} end
local t = call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local delivered, tail = string.match(v, '^(D %d+ %d+ %d+ )%d+(.*)$')
if delivered then
  call('SET', k, delivered .. string.format('%.0f', ms + ARGV[1]) .. tail, 'KEEPTTL')
  return {'D'}
end
local till = tonumber(string.match(v, '^P %d+ %d+ (%d+) ') or 0)
if till > ms then return {'B', till - ms} end
return {'F'}
