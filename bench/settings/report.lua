-- One line at the end for the bench to read. Times are in microseconds.
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        'report {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.status, e.connect + e.read + e.write + e.timeout))
end
