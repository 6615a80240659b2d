package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
)

// sameAs waits until the host's state is what it was.
func (w *world) sameAs(before string) {
	w.t.Helper()
	w.until("the host is as before\n"+before, func() bool { return settled(w.t) == before })
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(long); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("did not come: %s\nnow\n%s", what, settled(w.t))
		}
	}
}

// netds returns the processes of the netd under test.
func (w *world) netds() []int {
	w.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		w.t.Fatal(err)
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err == nil && bytes.Contains(cmdline, []byte(w.o.ExecRoot+"/netd.sock")) {
			out = append(out, pid)
		}
	}
	return out
}

// TestNetdKilled: the daemon starts another one, which holds the same ports.
func TestNetdKilled(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", tcp("", 8080, 80))
	a.serve(80, "a")
	pids := w.netds()
	if len(pids) != 1 {
		t.Fatalf("netd's processes: %v", pids)
	}
	if cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pids[0])); err != nil || !strings.Contains(string(cgroup), w.o.Netd.CgroupParent+"/netd-berth0") {
		t.Errorf("netd's control groups: %s, %v", cgroup, err)
	}
	before := settled(t)
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// What the firewall leads on is not disturbed.
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.sameAs(before)
	w.want(nil, "tcp", "[::1]:8080", "a 172.17.0.1")
	if again := w.netds(); len(again) != 1 || again[0] == pids[0] {
		t.Errorf("netd's processes: %v, before %v", again, pids)
	}
	if got := w.m.Warnings(); len(got) != 0 {
		t.Errorf("warnings: %v", got)
	}
}

// TestNoPortIsStolen: netd is killed again and again while others try to bind
// its ports, and clients connect: nobody gets a port, and no client is turned
// away.
func TestNoPortIsStolen(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", tcp("", 8080, 80), PortSpec{HostPort: 8080, ContainerPort: 53, Proto: "udp"})
	a.serve(80, "a")
	var wg sync.WaitGroup
	done := make(chan struct{})
	every := func(do func()) {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					do()
				}
			}
		})
	}
	for _, address := range []string{"127.0.0.1:8080", "[::1]:8080", ":8080", hostOutside + ":8080"} {
		every(func() {
			l, err := net.Listen("tcp", address)
			if err == nil {
				l.Close()
				t.Errorf("somebody else had %s", address)
			}
			if p, err := net.ListenPacket("udp", address); err == nil {
				p.Close()
				t.Errorf("somebody else had %s/udp", address)
			}
		})
	}
	for _, address := range []string{"127.0.0.1:8080", "[::1]:8080"} {
		every(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Errorf("connect to %s: %v", address, err)
				return
			}
			c.Close()
		})
	}
	for range 5 {
		pids := w.netds()
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		w.until("another netd", func() bool {
			now := w.netds()
			return len(now) == 1 && now[0] != pids[0]
		})
		w.want(nil, "tcp", "[::1]:8080", "a 172.17.0.1")
	}
	close(done)
	wg.Wait()
	if got := w.m.Warnings(); len(got) != 0 {
		t.Errorf("warnings: %v", got)
	}
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		t.Fatalf("a port that nobody publishes any more: %v", err)
	}
	l.Close()
}

// TestNetdDiesUnwatched: the next request finds it dead.
func TestNetdDiesUnwatched(t *testing.T) {
	w := newWorld(t)
	w.attach("a", tcp("", 8080, 80))
	for i := range 3 {
		for _, pid := range w.netds() {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		w.attach(fmt.Sprint(i), tcp("", uint16(8081+i), 80))
	}
	for port := 8080; port <= 8083; port++ {
		w.until("8080 and others are held again", func() bool {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				l.Close()
			}
			return errors.Is(err, syscall.EADDRINUSE)
		})
	}
}

// TestRestart: the engine is killed and started again. One container lives on,
// one is gone.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	empty := settled(t)
	a := w.attach("a", tcp("", 8080, 80), tcp("127.0.0.1", 8081, 80))
	a.serve(80, "a")
	dead := w.attach("dead", tcp("", 8082, 80))
	pids := w.netds()
	connected, err := net.Dial("tcp", "[::1]:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()

	w.crash()
	dead.ns.Close()
	reachable := func() {
		t.Helper()
		w.want(nil, "tcp", "127.0.0.1:8080", "a 172.17.0.1")
		w.want(nil, "tcp", "127.0.0.1:8081", "a 172.17.0.1")
		w.want(nil, "tcp", "[::1]:8080", "a 172.17.0.1")
		w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
		w.refused(w.outside, "tcp", hostOutside+":8081")
		w.refused(w.outside, "tcp", a.ip()+":80")
	}
	reachable()
	w.start()
	reachable()
	if err := w.m.Adopt(t.Context(), "a", a.ns, a.r); err != nil {
		t.Fatal(err)
	}
	reachable()
	if err := w.m.Prune(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	reachable()
	if now := w.netds(); len(now) != 1 || now[0] != pids[0] {
		t.Errorf("netd's processes: %v, before %v", now, pids)
	}
	if got := state(t); strings.Contains(got, "8082") {
		t.Errorf("the dead container's port is still there:\n%s", got)
	}
	b := w.attach("b", tcp("", 8082, 80))
	if b.ip() == a.ip() {
		t.Error("an address was given twice")
	}
	for _, id := range []string{"a", "b"} {
		if err := w.m.Detach(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	a.ns.Close()
	b.ns.Close()
	w.sameAs(empty)
}

// TestNetdReplaced: an engine that finds a netd of another program file has it
// hand over; nothing is let go, and open connections go on.
func TestNetdReplaced(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", tcp("", 8080, 80), PortSpec{HostPort: 8080, ContainerPort: 53, Proto: "udp"})
	a.serve(80, "a")
	a.serveUDP(53, "a")
	before := settled(t)
	pids := w.netds()
	w.crash()
	program, err := os.ReadFile(netdBinary)
	if err != nil {
		t.Fatal(err)
	}
	w.o.Netd.Binary = t.TempDir() + "/berth-netd"
	if err := os.WriteFile(w.o.Netd.Binary, program, 0o755); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.adopt(a)
	w.until("the old netd ends", func() bool { return len(w.netds()) == 1 })
	if now := w.netds(); now[0] == pids[0] {
		t.Errorf("the old netd %v still runs", pids)
	}
	w.want(nil, "tcp", "[::1]:8080", "a 172.17.0.1")
	w.want(nil, "udp", "[::1]:8080", "a hello")
	w.sameAs(before)
}

// TestFirewallFlushed: somebody removes all rules. They come back, and what the
// rules protect is protected again.
func TestFirewallFlushed(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", tcp("", 8080, 80))
	a.serve(80, "a")
	const list = "nft list table inet berth || true" // the user's own table is gone with a flush
	before := dump(t, list)
	for _, line := range []string{
		"nft flush ruleset", "nft delete table inet berth", "nft flush chain inet berth forward", "nft flush table inet berth",
	} {
		sh(t, line+" || true") // a table that the engine owns says no
		w.until("the rules are back", func() bool { return dump(t, list) == before })
		w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
		w.refused(w.outside, "tcp", a.ip()+":80")
	}
	// At a bad moment: the next change finds no table.
	sh(t, "nft flush ruleset")
	b := w.attach("b", tcp("", 8081, 80))
	b.serve(80, "b")
	sh(t, "nft flush ruleset")
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	w.want(w.outside, "tcp", hostOutside+":8081", "b "+neighbour)
}

// TestFailedStart: an engine that ends before it knows who runs takes nothing
// from them.
func TestFailedStart(t *testing.T) {
	w := newWorld(t)
	a, b := w.attach("a"), w.attach("b")
	a.serve(80, "a")
	w.crash()
	w.start()
	w.stop()
	w.want(b.ns, "tcp", a.ip()+":80", "a "+b.ip())
	w.want(nil, "tcp", a.ip()+":80", "a 172.17.0.1")
	w.start()
}

func TestWarnings(t *testing.T) {
	w := newWorld(t)
	if got := w.m.Warnings(); len(got) != 0 {
		t.Errorf("warnings: %v", got)
	}
	sh(t, "nft add table ip filter; nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'")
	defer sh(t, "nft delete table ip filter")
	if got := w.m.Warnings(); len(got) != 1 || !strings.Contains(got[0], "ip filter FORWARD") {
		t.Errorf("warnings: %v", got)
	}
}

// TestBridgeKept: a bridge that somebody made keeps its address, and stays.
func TestBridgeKept(t *testing.T) {
	sh(t, "ip link add berth0 type bridge; ip addr add 172.29.0.5/24 dev berth0")
	t.Cleanup(func() { sh(t, "ip link del berth0") })
	w := newWorld(t)
	if got := w.m.home.bridge.Address().String(); got != "172.29.0.5/24" || len(w.m.home.def.ID) != 64 {
		t.Errorf("network %s at %s", w.m.home.def.ID, got)
	}
	id := w.m.home.def.ID
	w.crash()
	w.start()
	if w.m.home.def.ID != id {
		t.Error("the network's id changed")
	}
}

// TestTwoEngines live beside each other, with networks that do not overlap.
func TestTwoEngines(t *testing.T) {
	first := newWorld(t)
	second := &world{t: t, outside: first.outside, o: first.o}
	second.o.Bridge = "berth1"
	second.o.ExecRoot, second.o.DataRoot = t.TempDir(), t.TempDir()
	second.start()
	defer second.end()
	a, b := first.attach("a", tcp("", 8080, 80)), second.attach("b", tcp("", 8081, 80))
	a.serve(80, "a")
	b.serve(80, "b")
	first.want(first.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	first.want(first.outside, "tcp", hostOutside+":8081", "b "+neighbour)
	first.want(a.ns, "tcp", hostOutside+":8081", "b 172.18.0.1") // masqueraded on its way out of its network
	first.refused(a.ns, "tcp", b.ip()+":80")
	listen(t, first.outside, 7, "outside")
	first.want(a.ns, "tcp", neighbour+":7", "outside "+hostOutside)
	first.want(b.ns, "tcp", neighbour+":7", "outside "+hostOutside)
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	past := time.Now()
	w.attach("a")
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for m, err := range w.o.Events.Subscribe(t.Context(), past, time.Now(), func(m events.Message) bool { return m.Type == events.NetworkEventType }) {
		if err != nil {
			break
		}
		got = append(got, fmt.Sprint(m.Action, " ", m.Actor.Attributes["container"], " ", m.Actor.Attributes["name"]))
	}
	if strings.Join(got, ", ") != "connect a bridge, disconnect a bridge" {
		t.Errorf("events: %v", got)
	}
}
