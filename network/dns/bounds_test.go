package dns

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// long is an answer of n addresses, about 300 bytes each without compression.
func long(n int) func(*dns.Msg) *dns.Msg {
	return func(q *dns.Msg) *dns.Msg {
		m := says("192.0.2.1", 60)(q)
		for range n - 1 {
			m.Answer = append(m.Answer, dns.Copy(m.Answer[0]))
		}
		return m
	}
}

// TestCacheBytes: answers that are as large as can be take no more memory.
func TestCacheBytes(t *testing.T) {
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	suffix := strings.Repeat(strings.Repeat("x", 60)+".", 4)
	for _, n := range []int{4000, 20} {
		var c cache
		before, now := heap(), time.Now()
		for i := range 400 {
			q := new(dns.Msg)
			q.SetQuestion(fmt.Sprintf("%d.%s", i, suffix), dns.TypeA)
			c.put(keyOf(q), long(n)(q), now)
			c.put(keyOf(q), long(n)(q), now) // in its own place
		}
		after := heap()
		if after > before && after-before > 16*cacheAll {
			t.Errorf("400 answers of %d addresses take %d bytes", n, after-before)
		}
		sum := 0
		for _, e := range c.all {
			sum += e.bytes
		}
		if sum != c.bytes || sum > cacheAll || n == 20 && sum == 0 {
			t.Errorf("answers of %d addresses: %d bytes are counted, there are %d", n, c.bytes, sum)
		}
		runtime.KeepAlive(&c)
	}
}

// TestForwardSize: servers are not told of more room than there is, whatever the
// client says.
func TestForwardSize(t *testing.T) {
	u := &upstreams{t: t}
	var told uint16
	u.set(func(q *dns.Msg) *dns.Msg {
		told = q.IsEdns0().UDPSize()
		return says("192.0.2.10", 60)(q)
	})
	r := NewResolver(example(), Sandbox{ID: "c", Servers: []Server{server(0)}, Outside: true}, u.dial, nil)
	defer r.forward.close()
	for size, want := range map[uint16]uint16{65535: maxUDP, 1232: 1232} {
		m, got := query(t, r, fmt.Sprintf("%d.example", size), dns.TypeA, func(q *dns.Msg) { q.SetEdns0(size, false) })
		if told != want || got != "NOERROR 192.0.2.10" || m.IsEdns0() == nil {
			t.Errorf("a server was told of %d bytes, want %d; %s", told, want, got)
		}
	}
}
