-- Sends the requests in the file BENCH_REQUESTS, BENCH_SIZE bytes each, in turn and without pause. The last line of the
-- output is the result as JSON; `refused` counts the responses with a status of 400 or more.
local requests, sent = {}, 0

function init()
  local file = assert(io.open(os.getenv("BENCH_REQUESTS"), "rb"))
  local size = tonumber(os.getenv("BENCH_SIZE"))
  for bytes in function() return file:read(size) end do requests[#requests + 1] = bytes end
  file:close()
end

function request()
  sent = sent % #requests + 1
  return requests[sent]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "refused": %d, "broken": %d, "p50_ms": %f, "p99_ms": %f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
