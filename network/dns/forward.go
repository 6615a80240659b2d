package dns

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/berth-engine/berth/fault"
)

// Dial connects to a name server over "udp" or "tcp", from where a container's
// questions come from. It must end soon after ctx does.
type Dial func(ctx context.Context, network string, s Server) (net.Conn, error)

// Bounds of forwarding.
const (
	// maxAsked is how many questions of a container may be under way.
	maxAsked = 256
	// again is when a question is sent once more: datagrams get lost.
	again = time.Second
	// askFor is how long a server has to answer.
	askFor = 4 * time.Second
	// headStart is how long a server is waited for, at first, before the next is
	// asked as well. One that answered before gets twice as long as it took, up
	// to maxHeadStart: servers do not all know the same, and the first is to be
	// heard if it can be.
	headStart    = 30 * time.Millisecond
	maxHeadStart = 400 * time.Millisecond
	// probeEvery is how often a server that did not answer is tried again.
	probeEvery = time.Second
)

// forwarder asks servers. Make it with newForwarder.
type forwarder struct {
	dial    Dial
	crashed Crashed
	cache   cache
	slots   chan struct{}

	mu      sync.Mutex
	servers []*upstream
	closed  bool
	under   map[*exchange]struct{} // way
	wg      sync.WaitGroup
}

// upstream is a server and how it did so far.
type upstream struct {
	Server
	failing atomic.Bool
	took    atomic.Int64 // nanoseconds of the last answer; 0: unknown
	probed  atomic.Int64 // unix nanoseconds
}

func (u *upstream) start() time.Duration {
	return min(max(headStart, 2*time.Duration(u.took.Load())), maxHeadStart)
}

func newForwarder(dial Dial, crashed Crashed) *forwarder {
	return &forwarder{dial: dial, crashed: crashed, slots: make(chan struct{}, maxAsked), under: map[*exchange]struct{}{}}
}

// use sets whom to ask; what is known of servers that stay is kept.
func (f *forwarder) use(servers []Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*upstream
	same := len(servers) == len(f.servers)
	for i, s := range servers {
		u := &upstream{Server: s}
		for _, old := range f.servers {
			if old.Server == s {
				u = old
			}
		}
		same = same && f.servers[i] == u
		all = append(all, u)
	}
	if !same {
		f.cache.clear()
	}
	f.servers = all
}

// close ends what is under way. Nothing is asked afterwards.
func (f *forwarder) close() {
	f.mu.Lock()
	f.closed = true
	for e := range f.under {
		e.cancel()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// cached answers q if the answer is known.
func (f *forwarder) cached(q *dns.Msg) *dns.Msg {
	m := f.cache.get(keyOf(q), time.Now())
	if m != nil {
		m.Id, m.Question = q.Id, q.Question // in the client's spelling
	}
	return m
}

// ask has the servers answer q; there is an answer in any case.
func (f *forwarder) ask(ctx context.Context, q *dns.Msg, tcp bool) *dns.Msg {
	m := f.race(ctx, q, tcp)
	if m == nil {
		m = new(dns.Msg)
		m.SetRcode(q, dns.RcodeServerFailure)
		m.RecursionAvailable = true
		return m
	}
	f.cache.put(keyOf(q), m, time.Now())
	m.Id, m.Question = q.Id, q.Question
	return m
}

// reply is what came of asking one server.
type reply struct {
	from int
	m    *dns.Msg
	err  error
}

// race asks the servers in their order, each a head start after the one before,
// and returns the first good answer; nil if there is none at all.
func (f *forwarder) race(ctx context.Context, q *dns.Msg, tcp bool) *dns.Msg {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor) // what was read is answered
	defer cancel()
	order, probes := f.order()
	all := slices.Concat(order, probes)
	if len(all) == 0 {
		return nil
	}
	replies := make(chan reply, len(all))
	begun := make([]time.Time, len(all))
	start := func(i int) {
		begun[i] = time.Now()
		f.exchange(q, tcp, all[i], i, replies)
	}
	for i := len(order); i < len(all); i++ {
		start(i)
	}
	var bad *dns.Msg
	next, open := 0, len(probes)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return bad
		case <-timer.C:
		case r := <-replies:
			open--
			if r.err == nil && good(r.m) {
				blame(all, begun, r.from)
				return r.m
			}
			if r.err == nil {
				bad = r.m
			}
			if next == len(order) && open == 0 {
				return bad
			}
			if r.from >= len(order) || r.from < next-1 {
				continue // the one that is waited for is another
			}
		}
		if next < len(order) {
			start(next)
			timer.Reset(order[next].start())
			next++
			open++
		}
	}
}

func good(m *dns.Msg) bool {
	return m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError
}

// blame marks servers that had their time when another one answered.
func blame(all []*upstream, begun []time.Time, winner int) {
	for i, u := range all {
		if i != winner && !begun[i].IsZero() && time.Since(begun[i]) > u.start() {
			u.failing.Store(true)
			u.probed.CompareAndSwap(0, time.Now().UnixNano())
		}
	}
}

// order is whom to ask and wait for, and whom to ask just to see whether it has
// come back.
func (f *forwarder) order() (order, probes []*upstream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil
	}
	now := time.Now()
	for _, u := range f.servers {
		if !u.failing.Load() {
			order = append(order, u)
			continue
		}
		last := u.probed.Load()
		if now.Sub(time.Unix(0, last)) >= probeEvery && u.probed.CompareAndSwap(last, now.UnixNano()) {
			probes = append(probes, u)
		}
	}
	if len(order) == 0 {
		return append(order, f.servers...), nil
	}
	return order, probes
}

// exchange is one question to one server.
type exchange struct{ cancel context.CancelFunc }

// exchange asks one server, in the background: it also learns from an answer
// that comes too late for whoever asked.
func (f *forwarder) exchange(q *dns.Msg, tcp bool, u *upstream, i int, replies chan<- reply) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		replies <- reply{from: i, err: net.ErrClosed}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	e := &exchange{cancel}
	f.under[e] = struct{}{}
	copied := q.Copy()
	f.wg.Go(func() {
		defer f.ended(e)
		r := reply{from: i, err: errCrashed}
		defer func() { replies <- r }() // has room for all
		defer f.crashed.contain(func() {})
		begun := time.Now()
		m, err := f.one(ctx, copied, tcp, u.Server)
		if err == nil {
			u.took.Store(int64(time.Since(begun)))
			u.failing.Store(false)
		}
		r = reply{i, m, err}
	})
}

// errCrashed is what came of asking a server if a panic did.
var errCrashed = errors.New("internal error")

// ended forgets an exchange.
func (f *forwarder) ended(e *exchange) {
	e.cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.under, e)
}

// one asks one server over a socket of its own, so that nobody can guess port
// and number of a question.
func (f *forwarder) one(ctx context.Context, q *dns.Msg, tcp bool, s Server) (*dns.Msg, error) {
	if err := fault.Point("dns.ask"); err != nil {
		return nil, err
	}
	network := "udp"
	if tcp {
		network = "tcp"
	}
	conn, err := f.dial(ctx, network, s)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	q.Id = dns.Id()
	if opt := q.IsEdns0(); opt != nil && opt.UDPSize() > maxUDP {
		opt.SetUDPSize(maxUDP) // a longer answer would be cut off here, and be none
	}
	c := &dns.Conn{Conn: conn, UDPSize: maxUDP}
	deadline, _ := ctx.Deadline()
	for try := 0; ; try++ {
		if err := c.WriteMsg(q); err != nil {
			return nil, err
		}
		wait := deadline
		if !tcp && try < 2 {
			wait = time.Now().Add(again)
		}
		if err := conn.SetReadDeadline(wait); err != nil {
			return nil, err
		}
		m, err := answerTo(c, q)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && time.Now().Before(deadline) && !tcp {
			continue
		}
		return m, err
	}
}

// answerTo reads until the answer to q comes; anything else is not ours.
func answerTo(c *dns.Conn, q *dns.Msg) (*dns.Msg, error) {
	for {
		m, err := c.ReadMsg()
		if err != nil {
			if m != nil {
				continue // bytes that are no message
			}
			return nil, err
		}
		if m.Id == q.Id && m.Response && len(m.Question) == 1 && same(m.Question[0], q.Question[0]) {
			return m, nil
		}
	}
}

// same tells whether two questions are the same, however they are spelt.
func same(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && canonical(a.Name) == canonical(b.Name)
}
