-- A holder that needs longer.  KEYS[1] record  ARGV fence, lease ms, life ms of an unfinished record (at least the lease)
-- Answer: 1 held | 0 fenced
local k, call = KEYS[1], redis.call
local fence, claims, by = string.match(call('GET', k) or '', '^P (%d+)( %d+ )%d+( .*)$')
if fence ~= ARGV[1] then return 0 end
local t = call('TIME')
local till = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2])
local life = string.format('%.0f', math.max(call('PTTL', k), ARGV[3]))
call('SET', k, 'P ' .. fence .. claims .. till .. by, 'PX', life)
return 1
