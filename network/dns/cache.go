package dns

import (
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds of a cache: how many answers, of how many bytes one by one and in all, as
// they are without compression (in memory they are some times that), and for how
// long however long their owners allow. Who asks can see to it that answers are as
// large as a message can be.
const (
	cacheSize = 1024
	cacheOne  = 8 << 10
	cacheAll  = 512 << 10
	cacheFor  = time.Hour
	cacheNone = time.Minute // that there is no such name
)

// key is what tells questions apart.
type key struct {
	name       string
	kind       uint16
	class      uint16
	do, cd, ad bool
}

func keyOf(q *dns.Msg) key {
	k := key{name: strings.ToLower(q.Question[0].Name), kind: q.Question[0].Qtype, class: q.Question[0].Qclass, cd: q.CheckingDisabled, ad: q.AuthenticatedData}
	if opt := q.IsEdns0(); opt != nil {
		k.do = opt.Do()
	}
	return k
}

type kept struct {
	m     *dns.Msg
	bytes int
	since time.Time
	until time.Time
}

// cache keeps answers of one container's servers: what a container is told by
// servers it may have chosen itself is for nobody else. The zero value is empty.
type cache struct {
	mu    sync.Mutex
	all   map[key]kept
	bytes int
}

// get returns a copy with what is left of the answer's life.
func (c *cache) get(k key, now time.Time) *dns.Msg {
	c.mu.Lock()
	e, ok := c.all[k]
	if ok && !now.Before(e.until) {
		c.drop(k)
		ok = false
	}
	c.mu.Unlock()
	if !ok {
		return nil
	}
	m := e.m.Copy()
	age := uint32(now.Sub(e.since) / time.Second)
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(age, h.Ttl)
			}
		}
	}
	return m
}

func (c *cache) put(k key, m *dns.Msg, now time.Time) {
	life := lifetime(m)
	if life <= 0 {
		return
	}
	m = m.Copy()
	m.Compress = false
	bytes := m.Len()
	if bytes > cacheOne {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[key]kept{}
	}
	c.drop(k)
	for len(c.all) >= cacheSize || c.bytes+bytes > cacheAll {
		for old := range c.all { // any
			c.drop(old)
			break
		}
	}
	c.all[k] = kept{m, bytes, now, now.Add(life)}
	c.bytes += bytes
}

// drop forgets an answer, if there is one; c.mu is held.
func (c *cache) drop(k key) {
	c.bytes -= c.all[k].bytes
	delete(c.all, k)
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all, c.bytes = nil, 0
}

// lifetime is for how long an answer may be kept (RFC 2308); zero: not at all.
func lifetime(m *dns.Msg) time.Duration {
	if m.Truncated || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0
	}
	bound, found := cacheFor, false
	for _, rr := range m.Answer {
		bound, found = min(bound, time.Duration(rr.Header().Ttl)*time.Second), true
	}
	if found && m.Rcode == dns.RcodeSuccess {
		return bound
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(cacheNone, bound, time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second)
		}
	}
	return 0
}
