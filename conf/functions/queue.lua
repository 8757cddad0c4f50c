-- Queues: pail call jobs queue push mail 'to ann'; pail call jobs queue pop mail 30000;
--         pail call jobs queue ack mail 1
--
-- A message that was popped is leased: nobody else gets it until it is acknowledged, and then it is
-- gone, or until the lease is over, and then it comes again.  So each message is done at least once.
--
-- Keys: QUEUE/next is the last number given, QUEUE/m/NUMBER a message, QUEUE/l/NUMBER its lease,
-- which has the lease's ttl.  Numbers are hexadecimal and of one length, so that they sort.

local M = {}

local function place(queue, kind, id)
	if type(queue) ~= "string" or queue == "" or queue:find("/", 1, true) then
		error("a queue's name is a string without a slash", 0)
	end
	return ("%s/%s/%016x"):format(queue, kind, id)
end

-- Put a message at the end: its number.
function M.push(bucket, queue, message)
	local id = math.tointeger(tonumber(bucket:get(queue .. "/next") or "0")) + 1
	bucket:put(place(queue, "m", id), message)
	bucket:put(queue .. "/next", tostring(id))
	return id
end

-- The first message that is not leased, as {id, message}, leased for so long; nil: there is none.
function M.pop(bucket, queue, lease_ms)
	local prefix = place(queue, "m", 0):sub(1, -17)
	for key, message in bucket:scan{prefix = prefix} do
		local id = tonumber(key:sub(-16), 16)
		local lease = place(queue, "l", id)
		if not bucket:get(lease) then
			bucket:put(lease, "", {ttl = lease_ms or 30000})
			return {id = id, message = message}
		end
	end
	return nil
end

-- It is done: false if it was already.
function M.ack(bucket, queue, id)
	bucket:delete(place(queue, "l", id))
	return bucket:delete(place(queue, "m", id))
end

-- How many there are, those that are leased too.
function M.length(bucket, queue)
	local n = 0
	for _ in bucket:scan{prefix = place(queue, "m", 0):sub(1, -17), keys_only = true} do
		n = n + 1
	end
	return n
end

return M
