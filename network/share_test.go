package network

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	nettypes "github.com/moby/moby/api/types/network"
)

var web = Service{Project: "p", Name: "web"}

// member attaches one of several of a service.
func (w *world) member(id string, s Service, networks []EndpointSpec, ports ...PortSpec) *container {
	w.t.Helper()
	f, r, err := w.m.Attach(w.t.Context(), Desired{ID: id, Service: s, Ports: ports, Networks: networks})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { f.Close() })
	return &container{w, id, f, r}
}

// share attaches one of several of a service, which answers with its name.
func (w *world) share(id string, s Service, networks []EndpointSpec, ports ...PortSpec) *container {
	w.t.Helper()
	c := w.member(id, s, networks, ports...)
	c.serve(80, id)
	c.serveUDP(53, id)
	return c
}

// silent attaches one of several of the service web that does not listen, and so
// refuses.
func (w *world) silent(id string, ports ...PortSpec) *container {
	w.t.Helper()
	return w.member(id, web, nil, ports...)
}

// who answers, of many calls.
func (w *world) who(f *os.File, network, address string, calls int) map[string]int {
	w.t.Helper()
	got := map[string]int{}
	for range calls {
		answer, err := call(f, network, address, long)
		if err != nil {
			w.t.Errorf("%s %s: %v", network, address, err)
		}
		name, _, _ := strings.Cut(answer, " ")
		got[name]++
	}
	return got
}

func (w *world) wantWho(f *os.File, network, address string, want ...string) {
	w.t.Helper()
	got := map[string]int{}
	// One of three is passed over in fifty calls once in 10⁹ times.
	for range max(4, 50*(len(want)-1)) {
		maps.Copy(got, w.who(f, network, address, 1))
		if len(got) > len(want) || len(want) > 1 && len(got) == len(want) {
			break
		}
	}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		w.t.Errorf("%s %s: %v, want %v", network, address, got, want)
	}
}

func (w *world) ready(id string, ready bool) {
	w.t.Helper()
	if err := w.m.Ready(w.t.Context(), id, ready); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) started(id string) {
	w.t.Helper()
	if err := w.m.Started(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
}

func udp(hostPort, port uint16) PortSpec {
	return PortSpec{HostPort: hostPort, ContainerPort: port, Proto: "udp"}
}

// everywhere calls a shared port on each of the ways that lead to it.
func (w *world) everywhere(port int, names ...string) {
	w.t.Helper()
	for _, address := range []string{"127.0.0.1", "[::1]", "172.17.0.1", hostOutside} {
		w.wantWho(nil, "tcp", fmt.Sprintf("%s:%d", address, port), names...)
		w.wantWho(nil, "udp", fmt.Sprintf("%s:%d", address, port), names...)
	}
	w.wantWho(w.outside, "tcp", fmt.Sprintf("%s:%d", hostOutside, port), names...)
	w.wantWho(w.outside, "udp", fmt.Sprintf("%s:%d", hostOutside, port), names...)
}

// TestShare: containers of one service have one port, by every way that leads to
// it and with every policy; they come and go, and nobody is turned away.
func TestShare(t *testing.T) {
	for _, policy := range []Policy{PolicyDocker, PolicyHost} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Policy = policy })
			before := settled(t)
			ports := []PortSpec{tcp("", 8080, 80), udp(8080, 53)}
			w.share("a", web, nil, ports...)
			w.everywhere(8080, "a")
			w.share("b", web, nil, ports...)
			w.share("c", web, nil, ports...)
			// Nobody has been seen to be ready. a came first, and may serve already;
			// those who came later may not listen yet, and would refuse.
			w.everywhere(8080, "a")
			w.started("a")
			w.everywhere(8080, "a")
			w.started("c")
			w.everywhere(8080, "a", "c")
			w.ready("a", true)
			w.everywhere(8080, "a")
			w.ready("b", true)
			w.everywhere(8080, "a", "b")
			client := w.share("client", Service{}, nil)
			w.wantWho(client.ns, "tcp", "172.17.0.1:8080", "a", "b")

			if _, err := w.m.Drain(t.Context(), "a", true); err != nil {
				t.Fatal(err)
			}
			w.everywhere(8080, "b")
			w.ready("b", false)
			w.everywhere(8080, "b", "c") // nobody is ready, and all have started
			if _, err := w.m.Drain(t.Context(), "a", false); err != nil {
				t.Fatal(err)
			}
			w.everywhere(8080, "a") // it is ready as before
			if err := w.m.Detach(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			w.everywhere(8080, "b", "c")
			for _, id := range []string{"b", "c", "client"} {
				if err := w.m.Detach(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			w.sameAs(before)
		})
	}
}

// TestShareStarts: while nobody has been seen to be ready, who joins takes nothing
// from who came first, and may serve already. What comes goes on to the next if
// that one goes, whoever has started is asked before who has not, and the next
// engine has it the same way.
func TestShareStarts(t *testing.T) {
	for _, policy := range []Policy{PolicyDocker, PolicyHost} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Policy = policy })
			ports := []PortSpec{tcp("", 8080, 80), udp(8080, 53)}
			w.share("a", web, nil, ports...)
			b := w.silent("b", ports...)
			w.everywhere(8080, "a")
			w.ready("a", true)
			w.ready("a", false)
			w.everywhere(8080, "a") // it has served, b has not
			w.silent("late", ports...)
			if err := w.m.Detach(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			b.serve(80, "b")
			b.serveUDP(53, "b")
			w.everywhere(8080, "b") // the first of those that start

			c := w.share("c", web, nil, ports...)
			w.everywhere(8080, "b")
			w.ready("c", true)
			w.ready("c", false)
			w.everywhere(8080, "c") // it has served
			w.crash()
			w.start()
			for _, x := range []*container{c, b} {
				if err := w.m.Adopt(t.Context(), x.id, x.ns, x.r); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.m.Prune(t.Context(), []string{"b", "c"}); err != nil {
				t.Fatal(err)
			}
			w.everywhere(8080, "c")
			w.silent("d", ports...)
			if err := w.m.Detach(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
			w.everywhere(8080, "b") // it came before d, to an engine before
			w.started("b")
			w.everywhere(8080, "b")
		})
	}
}

// TestShareOvertaken: who is published after others that came later comes after
// them, because they may serve by then.
func TestShareOvertaken(t *testing.T) {
	w := newWorld(t)
	ports := []PortSpec{tcp("", 8080, 80), udp(8080, 53)}
	w.silent("a", ports...)
	w.share("b", web, nil, ports...)
	a := w.m.attached["a"]
	if err := w.m.publishFirst(t.Context(), "a", a, a.result, a.rules.list()); err != nil {
		t.Fatal(err)
	}
	w.everywhere(8080, "b")
	if m, _ := w.m.ports.MemberOf(t.Context(), "a"); m.Came != a.came {
		t.Errorf("berth-netd has %d for a, which came as number %d", m.Came, a.came)
	}
}

// TestShareRefused: who is not of the service does not get its port, and has
// changed nothing.
func TestShareRefused(t *testing.T) {
	w := newWorld(t)
	w.share("a", web, nil, tcp("", 8080, 80))
	w.share("alone", Service{}, nil, tcp("", 8081, 80))
	before := settled(t)
	for _, d := range []Desired{
		{Ports: []PortSpec{tcp("", 8080, 80)}},
		{Service: Service{Project: "p"}, Ports: []PortSpec{tcp("", 8080, 80)}},
		{Service: Service{Project: "p", Name: "db"}, Ports: []PortSpec{tcp("", 8080, 80)}},
		{Service: Service{Project: "q", Name: "web"}, Ports: []PortSpec{tcp("", 8080, 80)}},
		{Service: web, Ports: []PortSpec{tcp("127.0.0.1", 8080, 80)}}, // another socket
		{Service: web, Ports: []PortSpec{tcp("", 8080, 80), tcp("", 8080, 81)}},
		{Service: web, Ports: []PortSpec{tcp("", 8081, 80)}},
	} {
		d.ID = "loser"
		_, _, err := w.m.Attach(t.Context(), d)
		if p, ok := errors.AsType[*PortError](err); !ok || !p.Allocated {
			t.Errorf("%+v: %v", d, err)
		}
		w.sameAs(before)
	}
	// Any port, and any of a range, is one for each.
	two := tcp("127.0.0.1", 9000, 80)
	two.HostPortEnd = 9001
	seen := map[uint16]bool{}
	for _, id := range []string{"x", "y"} {
		for p := range w.share(id, web, nil, two, tcp("127.0.0.1", 0, 80)).r.Ports.All() {
			seen[p.HostPort] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("ports %v", seen)
	}
}

// TestShareEven: of many connections, each container gets its part, also of a
// range of ports that is one interval.
func TestShareEven(t *testing.T) {
	w := newWorld(t)
	var row []PortSpec
	for n := range uint16(300) {
		row = append(row, udp(5000+n, 5000+n))
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		c := w.share(id, web, nil, append(row, tcp("", 8080, 80))...)
		c.serveUDP(5123, id)
		w.ready(id, true)
	}
	for _, way := range []struct {
		f                *os.File
		network, address string
	}{{nil, "tcp", "127.0.0.1:8080"}, {nil, "tcp", "[::1]:8080"}, {w.outside, "tcp", hostOutside + ":8080"}, {w.outside, "udp", hostOutside + ":5123"}} {
		got := w.who(way.f, way.network, way.address, 400)
		for _, id := range []string{"a", "b", "c", "d"} {
			if got[id] < 60 || got[id] > 140 { // five deviations from 100
				t.Errorf("%s %s: %v", way.network, way.address, got)
				break
			}
		}
	}
}

// TestShareKeeps: a connection stays with its container while others come, and
// while it is drained, whichever way it came.
func TestShareKeeps(t *testing.T) {
	w := newWorld(t)
	a := w.share("a", web, nil, tcp("", 8080, 7))
	accept(t, a.ns, "tcp4", ":7", func(c net.Conn) {
		for s := bufio.NewScanner(c); s.Scan(); {
			fmt.Fprintln(c, "a", s.Text())
		}
	})
	var open []net.Conn
	for _, address := range []string{"127.0.0.1:8080", "[::1]:8080", hostOutside + ":8080"} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	say := func() {
		t.Helper()
		for _, c := range open {
			fmt.Fprintln(c, "here")
			if line, err := bufio.NewReader(c).ReadString('\n'); line != "a here\n" {
				t.Errorf("%s: %q, %v", c.RemoteAddr(), line, err)
			}
		}
	}
	say()
	w.share("b", web, nil, tcp("", 8080, 80))
	w.ready("b", true)
	say()
	if _, err := w.m.Drain(t.Context(), "a", true); err != nil {
		t.Fatal(err)
	}
	say()
	w.wantWho(nil, "tcp", "127.0.0.1:8080", "b")
	count := func() int {
		t.Helper()
		n, err := w.m.Connections(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// That from ::1 is passed on by berth-netd, the others are led.
	if n := count(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	for _, c := range open {
		c.Close()
	}
	w.until("no connection is left", func() bool { return count() == 0 })
}

// TestShareOutlives: the engine is killed, and netd is killed; those who share a
// port go on, and who was drained stays so.
func TestShareOutlives(t *testing.T) {
	w := newWorld(t)
	ports := []PortSpec{tcp("", 8080, 80), udp(8080, 53)}
	all := map[string]*container{}
	for _, id := range []string{"a", "b", "c"} {
		all[id] = w.share(id, web, nil, ports...)
		w.ready(id, true)
	}
	w.ready("c", false)
	var err error
	if all["b"].r, err = w.m.Drain(t.Context(), "b", true); err != nil {
		t.Fatal(err)
	}
	w.everywhere(8080, "a")
	w.crash()
	w.everywhere(8080, "a")
	w.start()
	w.everywhere(8080, "a")
	for id, c := range all {
		if err := w.m.Adopt(t.Context(), id, c.ns, c.r); err != nil {
			t.Fatal(err)
		}
		w.wantWho(nil, "tcp", "127.0.0.1:8080", "a")
	}
	if err := w.m.Prune(t.Context(), []string{"a", "b", "c"}); err != nil {
		t.Fatal(err)
	}
	w.everywhere(8080, "a")

	pids := w.netds()
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.everywhere(8080, "a")
	if _, err := w.m.Drain(t.Context(), "b", false); err != nil {
		t.Fatal(err)
	}
	w.ready("b", true)
	w.everywhere(8080, "a", "b")
	sh(t, "nft delete table inet berth 2>/dev/null || true") // where the kernel lets somebody
	w.everywhere(8080, "a", "b")
}

// TestShareSix: of two networks, over IPv6, at addresses of the host's.
func TestShareSix(t *testing.T) {
	w := newWorld(t)
	yes := true
	w.create(nettypes.CreateRequest{Name: "six", EnableIPv6: &yes})
	sh(t, "ip addr add 2001:db8:1::1/64 dev up0 nodad")
	in(t, w.outside, "ip addr add 2001:db8:1::2/64 dev eth0 nodad")
	for _, id := range []string{"a", "b"} {
		networks := []EndpointSpec{{Name: "six"}}
		if id == "b" {
			networks = append(networks, EndpointSpec{Name: DefaultNetwork})
		}
		c := w.share(id, web, networks, tcp("", 8080, 81))
		defer func() {
			if err := w.m.Detach(t.Context(), id); err != nil {
				t.Error(err)
			}
		}()
		listen(t, c.ns, 81, id)
		listenSix(t, c.ns, 81, id)
	}
	for _, id := range []string{"a", "b"} {
		w.ready(id, true)
	}
	w.wantWho(nil, "tcp", "[::1]:8080", "a", "b")
	w.wantWho(nil, "tcp", "[2001:db8:1::1]:8080", "a", "b")
	w.wantWho(w.outside, "tcp", "[2001:db8:1::1]:8080", "a", "b")
	w.wantWho(w.outside, "tcp", hostOutside+":8080", "a", "b")
	answer, err := call(w.outside, "tcp", "[2001:db8:1::1]:8080", long)
	if err != nil || !strings.HasSuffix(answer, " 2001:db8:1::2") {
		t.Errorf("the container sees %q, %v", answer, err)
	}
}
