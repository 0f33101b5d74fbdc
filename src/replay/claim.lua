-- May this attempt forward?  KEYS[1] record  ARGV owner, lease ms, life ms of an unfinished record (at least the lease),
-- and, where something tells attempts apart: the variant, how many variants are remembered before the delivery
-- A record is one string, its parts one space apart (one command reads it, one writes it and its end; a hash takes two):
--   P fence n until owner destination...  an attempt holds it, until then (ms)
--   F fence n 0 - destination...          nobody does
--   D fence n at again tail               delivered at that time (ms); it may be delivered once more until `again` (ms)
-- n: claims granted. destination: has had it. tail: source and values, which only record.rs reads. Behind the fifth word
-- stand the marks: +variant delivered as a repeat, ?variant seen before the delivery, * an operator's redelivery.
-- Answer: the record, granted | ms that another attempt may hold it still | { ms that D has to live, record }
local k, call = KEYS[1], redis.call
local t = call('TIME')
local us = t[1] * 1000000 + t[2]
local ms = math.floor(us / 1000)
local f, n, rest, life = string.format('%.0f', us), '1', '', ARGV[3]
local held = string.format(' %.0f ', ms + ARGV[2]) .. ARGV[1]
local pending = ARGV[4] and tonumber(ARGV[5]) > 0 and '?' .. ARGV[4] or ''
local record = 'P ' .. f .. ' 1' .. held .. pending
if call('SET', k, record, 'NX', 'PX', life) then return record end

local v = call('GET', k)
local s, fence, claims, at, by, marks, known = string.match(v, '^([PFD]) (%d+) (%d+) (%d+) ([^+?* ]+)(%S*)(.*)$')
if not s then return redis.status_reply('no record') end
local is_repeat = ARGV[4] and string.find(marks, '+' .. ARGV[4], 1, true)
if s == 'D' and (tonumber(by) <= ms or is_repeat) then return {call('PTTL', k), v} end
if pending ~= '' and s ~= 'D' and not string.find(marks, pending, 1, true) then
  local _, seen = string.gsub(marks, '%?', '')
  if seen < tonumber(ARGV[5]) then marks = marks .. pending else pending = '' end
else
  pending = ''
end
if s == 'P' and by ~= ARGV[1] then
  local left = tonumber(at) - ms
  if left > 0 then
    if pending ~= '' then
      call('SET', k, 'P ' .. fence .. ' ' .. claims .. ' ' .. at .. ' ' .. by .. marks .. known, 'KEEPTTL')
    end
    return left
  end
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
if s == 'D' then
  marks = marks .. '*'
else
  rest = known
  life = string.format('%.0f', math.max(life, call('PTTL', k)))
end
record = 'P ' .. f .. ' ' .. n .. held .. marks .. rest
call('SET', k, record, 'PX', life)
return record
