-- May this attempt forward?  KEYS[1] record  ARGV owner, lease ms, open ms
-- Record: s state P|F|D, f fence, n claims granted, x end of the lease (ms), o owner, i id digest, m MAC digest,
--         w until when a delivered record may be delivered once more (ms), d:<destination> for each that has had it,
--         t when it was delivered (ms, a colon, 8 bytes of whose it is), e event
-- Answer: C fence attempt now_ms destination... | B ms_left | D attempts ms_left id MAC
local k, call = KEYS[1], redis.call
local v = call('HMGET', k, 's', 'f', 'n', 'x', 'o', 'i', 'm', 'w')
local s, f, n = v[1], tonumber(v[2]), tonumber(v[3] or 0)
local t = call('TIME')
local ms, us = t[1] * 1000 + math.floor(t[2] / 1000), t[1] * 1000000 + t[2]
local lease, open = tonumber(ARGV[2]), tonumber(ARGV[3])

if s == 'D' and not (v[8] and tonumber(v[8]) > ms) then
  return {'D', n, call('PTTL', k), v[6] or '', v[7] or ''}
end
if s == 'P' and v[5] ~= ARGV[1] then
  local left = tonumber(v[4]) - ms
  if left > 0 then return {'B', left} end
end
-- The same owner asks again, its answer was lost: the same grant, and no further attempt.
if not (s == 'P' and v[5] == ARGV[1]) then
  -- Greater than every fence before it, even if the record was lost or the clock stepped back.
  if f and f >= us then f = f + 1 else f = us end
  n = n + 1
end
-- An operator lets a delivered one through once more: every destination gets it again.
if s == 'D' then call('DEL', k); s = false end
call('HSET', k, 's', 'P', 'f', string.format('%.0f', f), 'n', n, 'x', string.format('%.0f', ms + lease), 'o', ARGV[1])
local out = {'C', f, n, ms}
-- A record that knows of a success outlives a failed attempt: its time is only ever made longer.
local ttl = math.max(open, lease)
if s then
  ttl = math.max(ttl, call('PTTL', k))
  for _, field in ipairs(call('HKEYS', k)) do
    if string.sub(field, 1, 2) == 'd:' then out[#out + 1] = string.sub(field, 3) end
  end
end
call('PEXPIRE', k, string.format('%.0f', ttl))
return out
