package network

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/kernel/ns"
)

// short is how long to wait for what should not come.
const short = 400 * time.Millisecond

// long is how long to wait for what should come.
const long = 20 * time.Second

// world is a host with an engine and a neighbour on the network outside.
type world struct {
	t       *testing.T
	o       Options
	m       *Manager
	outside *os.File // namespace of the neighbour, 198.51.100.2
	stop    func()
	stolen  string // the address of a datagram that spoofers sent (spoof_test.go)
}

const (
	hostOutside = "198.51.100.1"
	neighbour   = "198.51.100.2"
)

func sh(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.CommandContext(context.Background(), "sh", "-ec", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// in runs a shell line in a namespace.
func in(t *testing.T, f *os.File, line string) string {
	t.Helper()
	var out []byte
	err := ns.WithNetNS(f, func() (err error) {
		out, err = exec.CommandContext(context.Background(), "sh", "-ec", line).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// state is the host as a test must leave it.
func state(t *testing.T) string {
	t.Helper()
	return settled(t) + dump(t, "ip -br link | grep -o '^veth[^@ ]*' || true")
}

// dump runs a command until the kernel lets it look at everything at once:
// links of earlier tests may still be vanishing.
func dump(t *testing.T, line string) string {
	t.Helper()
	for {
		if out := sh(t, line); !strings.Contains(out, "Dump was interrupted") {
			return out
		}
	}
}

// settled is the state without the links of prepared namespaces, which come
// and go in the background.
func settled(t *testing.T) string {
	t.Helper()
	return dump(t, `ip -br link | grep -v '^lo\|^veth' | cut -d' ' -f1 || true; ip -4 -o addr | cut -d' ' -f2-7
		nft list ruleset; ss -Hltnu | awk '{print $1, $5}' | sort`)
}

func newWorld(t *testing.T, set ...func(*Options)) *world {
	t.Helper()
	sh(t, "echo 0 > /proc/sys/net/ipv4/ip_forward")
	before := state(t)
	w := &world{t: t}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(sh(t, "nft list ruleset; ip -br addr"))
		}
	})
	w.neighbour()
	dir := t.TempDir()
	w.o = Options{
		ExecRoot: filepath.Join(dir, "exec"), DataRoot: filepath.Join(dir, "data"),
		Netd:   NetdOptions{Binary: netdBinary, CgroupParent: fmt.Sprintf("/berth-network-test-%d", os.Getpid())},
		Events: event.New(0, nil), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, f := range set {
		f(&w.o)
	}
	if err := os.MkdirAll(w.o.ExecRoot, 0o700); err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(func() {
		w.end()
		w.outside.Close()
		deadline := time.Now().Add(long)
		for {
			after := state(t)
			if after == before {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	return w
}

func (w *world) start() {
	w.t.Helper()
	m, err := New(context.Background(), w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	w.m = m
	w.stop = sync.OnceFunc(func() { // once more at the end of a test that failed in between
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

// end detaches everything and stops the engine.
func (w *world) end() {
	w.m.mu.Lock()
	var ids []string
	for id := range w.m.attached {
		ids = append(ids, id)
	}
	w.m.mu.Unlock()
	for _, id := range ids {
		if err := w.m.Detach(context.Background(), id); err != nil {
			w.t.Error(err)
		}
	}
	if err := w.m.Prune(context.Background(), nil); err != nil {
		w.t.Error(err)
	}
	w.stop()
}

// crash stops the engine as kill -9 does: nothing is taken back. What it
// attached is forgotten by it, and the namespaces stay with the test.
func (w *world) crash() {
	w.m.mu.Lock()
	w.m.attached["survivor"] = &attachment{} // keeps Run from clearing up
	w.m.mu.Unlock()
	w.stop()
}

// adopt has an engine that was started anew take over these containers, and
// nothing else.
func (w *world) adopt(containers ...*container) {
	w.t.Helper()
	var ids []string
	for _, c := range containers {
		if err := w.m.Adopt(w.t.Context(), c.id, c.ns, c.r); err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, c.id)
	}
	if err := w.m.Prune(w.t.Context(), ids); err != nil {
		w.t.Fatal(err)
	}
}

// neighbour builds the network outside.
func (w *world) neighbour() {
	w.t.Helper()
	conn, err := netlink.Open()
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	w.outside, err = ns.NewNetNS()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := conn.AddVeth(netlink.Veth{Name: "up0", MTU: 1400, Peer: "eth0", PeerNS: w.outside}); err != nil {
		w.t.Fatal(err)
	}
	sh(w.t, "ip addr add "+hostOutside+"/24 dev up0; ip route add default via "+neighbour)
	in(w.t, w.outside, "ip addr add "+neighbour+"/24 dev eth0; ip link set eth0 up; ip link set lo up; ip route add 172.16.0.0/12 via "+hostOutside)
}

// container is an attached namespace.
type container struct {
	w  *world
	id string
	ns *os.File
	r  Result
}

func (w *world) attach(id string, ports ...PortSpec) *container {
	w.t.Helper()
	f, r, err := w.m.Attach(w.t.Context(), Desired{ID: id, Ports: ports})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { f.Close() })
	return &container{w, id, f, r}
}

func (c *container) ip() string { return c.r.Endpoints[0].IPv4.Addr().String() }

// serve answers every TCP connection with name and the caller's address.
func (c *container) serve(port int, name string) { listen(c.w.t, c.ns, port, name) }

func listen(t *testing.T, f *os.File, port int, name string) {
	t.Helper()
	accept(t, f, "tcp4", fmt.Sprintf(":%d", port), caller(name))
}

// listenSix is listen for IPv6.
func listenSix(t *testing.T, f *os.File, port int, name string) {
	t.Helper()
	accept(t, f, "tcp6", fmt.Sprintf(":%d", port), caller(name))
}

// caller answers with name and the caller's address.
func caller(name string) func(net.Conn) {
	return func(c net.Conn) { fmt.Fprintf(c, "%s %s\n", name, c.RemoteAddr().(*net.TCPAddr).IP) }
}

// accept has every connection to a namespace (nil: the host's) answered until the
// test ends.
func accept(t *testing.T, f *os.File, network, address string, answer func(net.Conn)) {
	t.Helper()
	var l net.Listener
	open := func() (err error) {
		l, err = net.Listen(network, address)
		return err
	}
	var err error
	if f == nil {
		err = open()
	} else {
		err = ns.WithNetNS(f, open)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() {
				defer c.Close()
				answer(c)
			}()
		}
	}()
}

// serveUDP echoes datagrams with name before them.
func (c *container) serveUDP(port int, name string) {
	c.w.t.Helper()
	var l net.PacketConn
	err := ns.WithNetNS(c.ns, func() (err error) {
		l, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		c.w.t.Fatal(err)
	}
	c.w.t.Cleanup(func() { l.Close() })
	go func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = l.WriteTo(append([]byte(name+" "), buf[:n]...), from)
		}
	}()
}

// called are the UDP flows that there were; the mutex is for tests that call
// from several goroutines.
var (
	called   = map[string]bool{}
	calledMu sync.Mutex
)

// firstCall tells whether a connection is not a UDP flow that there was: it would
// go on where that led to, for as long as such flows are remembered.
func firstCall(c net.Conn) bool {
	flow := c.LocalAddr().String() + " " + c.RemoteAddr().String()
	calledMu.Lock()
	defer calledMu.Unlock()
	before := called[flow]
	called[flow] = c.LocalAddr().Network() == "udp"
	return !before
}

// call connects from a namespace (nil: the host's) and returns the answer.
func call(f *os.File, network, address string, wait time.Duration) (string, error) {
	var c net.Conn
	dial := func() (err error) {
		for {
			c, err = net.DialTimeout(network, address, wait)
			if err != nil || firstCall(c) {
				return err
			}
			c.Close()
		}
	}
	var err error
	if f == nil {
		err = dial()
	} else {
		err = ns.WithNetNS(f, dial)
	}
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return "", err
	}
	if strings.HasPrefix(network, "udp") {
		if _, err := io.WriteString(c, "hello"); err != nil {
			return "", err
		}
		buf := make([]byte, 2000)
		n, err := c.Read(buf)
		return string(buf[:n]), err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

func (w *world) want(f *os.File, network, address, answer string) {
	w.t.Helper()
	got, err := call(f, network, address, long)
	if err != nil || got != answer {
		w.t.Errorf("%s %s: %q, %v; want %q", network, address, got, err, answer)
	}
}

func (w *world) refused(f *os.File, network, address string) {
	w.t.Helper()
	if got, err := call(f, network, address, short); err == nil {
		w.t.Errorf("%s %s is reachable: %q", network, address, got)
	}
}

func tcp(host string, hostPort, port uint16) PortSpec {
	p := PortSpec{HostPort: hostPort, ContainerPort: port, Proto: "tcp"}
	if host != "" {
		p.HostIP = netip.MustParseAddr(host)
	}
	return p
}

func bindings(r Result) []string {
	var out []string
	for p := range r.Ports.All() {
		out = append(out, fmt.Sprintf("%s:%d->%d/%s", p.HostIP, p.HostPort, p.ContainerPort, p.Proto))
	}
	slices.Sort(out)
	return out
}

// publishing is a container on one network with published ports.
func publishing(id, network string, ports ...PortSpec) Desired {
	d := on(network)
	d.ID, d.Ports = id, ports
	return d
}
