package network

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/network/dns"
)

// TestResolverLoad asks for a name 40,000 times, on 32 sockets at once. Every
// question is answered; the log says how many one processor would answer in a
// second (berth-netd's own time, from /proc).
func TestResolverLoad(t *testing.T) {
	const sockets, each = 32, 1250
	w := newWorld(t)
	a := w.attach("a")
	if err := w.m.ports.SetRecord(t.Context(), record(a, "a")); err != nil {
		t.Fatal(err)
	}
	w.resolve(a, dns.Sandbox{Networks: []string{"n1"}})
	q := new(mdns.Msg)
	q.SetQuestion("a.", mdns.TypeA)
	raw, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	pid := w.netds()[0]
	before, begun := ticks(t, pid), time.Now()
	var wg sync.WaitGroup
	for range sockets {
		var c net.Conn
		if err := ns.WithNetNS(a.ns, func() (err error) {
			c, err = net.Dial("udp4", "127.0.0.11:53")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer c.Close()
			buf := make([]byte, 512)
			for range each {
				_, err := c.Write(raw)
				if err == nil {
					err = c.SetReadDeadline(time.Now().Add(long))
				}
				if err == nil {
					_, err = c.Read(buf)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := w.m.ports.Unresolve(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	took := float64(ticks(t, pid)-before) / 100 // USER_HZ
	t.Logf("%d questions in %v; one processor: %.0f a second", sockets*each, time.Since(begun), sockets*each/max(took, 0.01))
}

// TestResolverThreads: questions over TCP to a server that does not answer keep no
// thread each; a program that has ten thousand is ended by its runtime.
func TestResolverThreads(t *testing.T) {
	const many = 60
	w := newWorld(t)
	a := w.attach("a")
	in(t, w.outside, "ip route add blackhole 192.0.2.1/32")
	w.resolve(a, dns.Sandbox{Servers: []dns.Server{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}}, Outside: true})
	q := new(mdns.Msg)
	q.SetQuestion("nosuch.example.", mdns.TypeA)
	threads := func() int {
		n, err := strconv.Atoi(strings.Fields(sh(t, fmt.Sprintf("grep Threads /proc/%d/status", w.netds()[0])))[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := threads()
	for range many {
		var c net.Conn
		if err := ns.WithNetNS(a.ns, func() (err error) {
			c, err = net.Dial("tcp4", "127.0.0.11:53")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := (&mdns.Conn{Conn: c}).WriteMsg(q); err != nil {
			t.Fatal(err)
		}
	}
	most := 0
	w.until("all questions are under way", func() bool {
		most = max(most, threads())
		return strings.Count(in(t, a.ns, "ss -Htn state syn-sent"), "\n") == many
	})
	if most = max(most, threads()); most > before+many/2 {
		t.Errorf("%d threads for %d questions, %d before", most, many, before)
	}
	if err := w.m.ports.Unresolve(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

// ticks is a process's time on processors, user's and system's.
func ticks(t *testing.T, pid int) int {
	t.Helper()
	stat := sh(t, fmt.Sprintf("cat /proc/%d/stat", pid))
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	user, err := strconv.Atoi(f[11])
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.Atoi(f[12])
	if err != nil {
		t.Fatal(err)
	}
	return user + system
}
