-- URLs of a provider's keys that verified, the last one first: adds some, if any, and gives all.
-- KEYS[1] the list; ARGV[1] how many are kept; ARGV[2] for how long, ms; ARGV[3..] URLs to add, the first one last
for index = 3, #ARGV do
  redis.call('LREM', KEYS[1], 0, ARGV[index])
  redis.call('LPUSH', KEYS[1], ARGV[index])
end
if #ARGV > 2 then
  redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)
