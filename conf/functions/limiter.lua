-- A rate limiter: pail call limits limiter allow 10.0.0.7 100 60000
--
-- Time is cut into windows; the count of a window is a key that goes when the window is over, so
-- that nobody has to tidy up.

local M = {}

-- Whether `who` may once more: at most `limit` times in each `window_ms`.
-- {allowed, left, wait_ms}: wait_ms is 0, or how long it is until the next window.
function M.allow(bucket, who, limit, window_ms)
	if math.type(limit) ~= "integer" or math.type(window_ms) ~= "integer" or window_ms < 1 then
		error("limit and window_ms must be integers, window_ms at least 1", 0)
	end
	local now = pail.now_ms()
	local left_ms = window_ms - now % window_ms
	local key = ("%s/%d/%d"):format(who, window_ms, now // window_ms)
	local count = math.tointeger(tonumber(bucket:get(key) or "0"))
	if count >= limit then
		return {allowed = false, left = 0, wait_ms = left_ms}
	end
	bucket:put(key, tostring(count + 1), {ttl = left_ms})
	return {allowed = true, left = limit - count - 1, wait_ms = 0}
end

return M
