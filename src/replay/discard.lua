-- Removes a delivered record that nothing points to any more.  KEYS[1] record  Answer: 1 removed | 0 it is not delivered
if string.byte(redis.call('GET', KEYS[1]) or '') == 68 then return redis.call('DEL', KEYS[1]) end
return 0
