package outbound

import (
	"net/http"
	"strconv"
	"time"
)

// RetryAfter reads how long a server asks to be left alone: seconds or a date
// (RFC 9110), 0 when it does not, and never longer than most.
func RetryAfter(h http.Header, now time.Time, most time.Duration) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, most) //nolint:gosec // 31 bits
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}
