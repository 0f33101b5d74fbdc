-- May this attempt forward?  KEYS[1] record  ARGV owner, lease ms, life ms of an unfinished record (at least the lease)
-- A record is one string, its parts one space apart (one command reads it, one writes it and its end; a hash takes two):
--   P fence n until owner destination...  an attempt holds it, until then (ms)
--   F fence n 0 - destination...          nobody does
--   D fence n at again tail               delivered at that time (ms); it may be delivered once more until `again` (ms)
-- n: claims granted. destination: has had it. tail: whose it is and what it was, which only record.rs reads.
-- Answer: the record, granted | ms that another attempt may hold it still | { ms that D has to live, record }
local k, call = KEYS[1], redis.call
local t = call('TIME')
local us = t[1] * 1000000 + t[2]
local ms = math.floor(us / 1000)
local f, n, rest, life = string.format('%.0f', us), '1', '', ARGV[3]
local held = string.format(' %.0f ', ms + ARGV[2]) .. ARGV[1]
local record = 'P ' .. f .. ' 1' .. held
if call('SET', k, record, 'NX', 'PX', life) then return record end

local v = call('GET', k)
local s, fence, claims, at, by, known = string.match(v, '^([PFD]) (%d+) (%d+) (%d+) (%S+)(.*)$')
if not s then return redis.status_reply('no record') end
if s == 'D' and tonumber(by) <= ms then return {call('PTTL', k), v} end
if s == 'P' and by ~= ARGV[1] then
  local left = tonumber(at) - ms
  if left > 0 then return left end
end
if s == 'P' and by == ARGV[1] then
  -- The same owner asks again, its answer was lost: the same grant, and no further attempt.
  f, n = fence, claims
else
  -- Greater than every fence before it, even if the clock stepped back.
  if tonumber(fence) >= us then f = string.format('%.0f', fence + 1) end
  n = string.format('%.0f', claims + 1)
end
-- An operator lets a delivered one through once more: every destination gets it again. Else a record that knows of a
-- success outlives a failed attempt: its time is only ever made longer.
if s ~= 'D' then
  rest = known
  life = string.format('%.0f', math.max(life, call('PTTL', k)))
end
record = 'P ' .. f .. ' ' .. n .. held .. rest
call('SET', k, record, 'PX', life)
return record
