package nft

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// How long a connection may take. What is dropped takes all of it.
const (
	patience  = 700 * time.Millisecond // where nothing should come
	certainty = 20 * time.Second       // where something should
)

// host is a network namespace with bridges, and others with containers and a
// neighbour.
type host struct {
	t     *testing.T
	of    map[string]*os.File
	state State
}

func (h *host) sh(f *os.File, line string) {
	h.t.Helper()
	run := func() error {
		out, err := exec.CommandContext(context.Background(), "sh", "-ec", line).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
		return nil
	}
	err := run
	if f != nil {
		err = func() error { return ns.WithNetNS(f, run) }
	}
	if err := err(); err != nil {
		h.t.Fatal(err)
	}
}

// place makes a namespace with eth0 that has an address in each family.
func (h *host) place(name, v4, v6 string) *os.File {
	h.t.Helper()
	f, err := ns.NewNetNS()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { f.Close() })
	h.of[name] = f
	h.sh(nil, fmt.Sprintf("ip link add %s type veth peer name eth0 netns /proc/%d/fd/%d", name, os.Getpid(), f.Fd()))
	h.sh(f, "ip link set lo up; ip link set eth0 up; ip addr add "+v4+" dev eth0; ip addr add "+v6+" dev eth0 nodad")
	h.sh(nil, "ip link set "+name+" up")
	return f
}

// network makes a bridge with two containers, NAMEa and NAMEb.
func (h *host) network(n Network, number int, gateway bool) {
	h.t.Helper()
	v4, v6 := fmt.Sprintf("10.%d.0.", number), fmt.Sprintf("fd00:%d::", number)
	n.Subnets = []netip.Prefix{netip.MustParsePrefix(v4 + "0/24"), netip.MustParsePrefix(v6 + "/64")}
	h.state.Networks = append(h.state.Networks, n)
	h.sh(nil, fmt.Sprintf("ip link add %[1]s type bridge; ip link set %[1]s up; echo 1 > /proc/sys/net/ipv4/conf/%[1]s/route_localnet", n.Bridge))
	if gateway {
		h.sh(nil, fmt.Sprintf("ip addr add %s1/24 dev %s; ip addr add %s1/64 dev %s nodad", v4, n.Bridge, v6, n.Bridge))
	}
	for i, side := range []string{"a", "b"} {
		name := n.Bridge + side
		f := h.place(name, fmt.Sprintf("%s%d/24", v4, i+2), fmt.Sprintf("%s%d/64", v6, i+2))
		h.sh(nil, "ip link set "+name+" master "+n.Bridge)
		h.sh(f, "ip route add default via "+v4+"1; ip -6 route add default via "+v6+"1")
	}
}

func (h *host) listen(f *os.File, ports ...int) {
	h.t.Helper()
	for _, p := range ports {
		var l net.Listener
		if err := ns.WithNetNS(f, func() (err error) {
			l, err = net.Listen("tcp", fmt.Sprintf(":%d", p))
			return err
		}); err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, "hello")
				c.Close()
			}
		}()
	}
}

// reaches tells whether a connection from a namespace (nil: the host's) is
// answered.
func (h *host) reaches(f *os.File, address string, wait time.Duration) bool {
	var c net.Conn
	dial := func() (err error) {
		c, err = net.DialTimeout("tcp", address, wait)
		return err
	}
	if f == nil {
		f = h.of["host"]
	}
	if ns.WithNetNS(f, dial) != nil {
		return false
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(certainty)); err != nil {
		return false
	}
	buf := make([]byte, 5)
	n, _ := c.Read(buf) // what was read tells
	return string(buf[:n]) == "hello"
}

// modes are Docker's documented reachability
// (docs.docker.com/engine/network/port-publishing, "Gateway modes"): from the
// same network, another network, the host and a remote machine with a route;
// to a published port at the container's address, to one that is not
// published, and to the published one at the host's address. "-": there is none.
var modes = []struct {
	name    string
	network Network
	docker  [4]string
}{
	{"nat", Network{}, [4]string{"y y y", "n n y", "y y y", "n n y"}},
	{"nat-unprotected", Network{Gateway4: Unprotected, Gateway6: Unprotected}, [4]string{"y y y", "n n y", "y y y", "y y y"}},
	{"routed", Network{Gateway4: Routed, Gateway6: Routed}, [4]string{"y y -", "y n -", "y y -", "y n -"}},
	{"internal", Network{Internal: true}, [4]string{"y y -", "n n -", "y y -", "n n -"}},
	{"isolated", Network{Gateway4: Isolated, Gateway6: Isolated, Internal: true}, [4]string{"y y -", "n n -", "n n -", "n n -"}},
	{"nat, ICC off", Network{NoICC: true}, [4]string{"n n y", "n n y", "y y y", "n n y"}},
}

// TestReach compares who reaches whom with what Docker documents.
func TestReach(t *testing.T) {
	inNamespace(t)
	h := &host{t: t, of: map[string]*os.File{}}
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	h.of["host"] = own
	h.sh(nil, "ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	remote := h.place("up0", "198.51.100.2/24", "2001:db8::2/64")
	h.sh(nil, "ip addr add 198.51.100.1/24 dev up0; ip addr add 2001:db8::1/64 dev up0 nodad")
	h.sh(remote, "ip route add 10.0.0.0/8 via 198.51.100.1; ip -6 route add fd00::/16 via 2001:db8::1")
	h.network(Network{Bridge: "other"}, 1, true)
	table, err := Open("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for i, m := range modes {
		n := m.network
		n.Bridge = fmt.Sprintf("br%d", i)
		h.network(n, 10+i, n.Gateway4 != Isolated)
		if n.NoICC {
			h.sh(nil, fmt.Sprintf("for p in %[1]sa %[1]sb; do bridge link set dev $p isolated on; done", n.Bridge))
			h.listen(own, 8000+i) // as berth-netd does
		}
		h.listen(h.of[n.Bridge+"a"], 80, 81)
		for _, p := range h.state.Networks[i+1].Subnets {
			zero := netip.IPv4Unspecified()
			if p.Addr().Is6() {
				zero = netip.IPv6Unspecified()
			}
			port := Port{HostIP: zero, HostPort: 8000 + uint16(i), Proto: unix.IPPROTO_TCP, ContainerIP: p.Addr().Next().Next(), ContainerPort: 80}
			port.Routed = n.Gateway4 == Routed
			if !n.Internal {
				h.state.Ports = append(h.state.Ports, port)
			}
		}
	}
	if err := table.Replace(h.state); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, m := range modes {
		bridge := fmt.Sprintf("br%d", i)
		for j, from := range []*os.File{h.of[bridge+"b"], h.of["othera"], nil, remote} {
			for _, six := range []bool{false, true} {
				wg.Go(func() {
					got := h.look(from, i, six, m.docker[j])
					if got != m.docker[j] {
						t.Errorf("%s, IPv6 %v, from %s: %s; want %s", m.name, six, callers[j], got, m.docker[j])
					}
				})
			}
		}
	}
	wg.Wait()
	if t.Failed() {
		t.Log(listRuleset(t))
	}
}

var callers = []string{"same network", "other network", "host", "remote"}

// look tries the ways to container a of network i: at its own address, 80 and
// 81, and at the host's.
func (h *host) look(from *os.File, i int, six bool, like string) string {
	container, outside := fmt.Sprintf("10.%d.0.2", 10+i), "198.51.100.1"
	if six {
		container, outside = fmt.Sprintf("fd00:%d::2", 10+i), "2001:db8::1"
	}
	answers := strings.Fields(like)
	for k, address := range []string{net.JoinHostPort(container, "80"), net.JoinHostPort(container, "81"), net.JoinHostPort(outside, fmt.Sprint(8000+i))} {
		if answers[k] == "-" {
			continue
		}
		wait := patience
		if answers[k] == "y" {
			wait = certainty
		}
		answers[k] = "n"
		if h.reaches(from, address, wait) {
			answers[k] = "y"
		}
	}
	return strings.Join(answers, " ")
}
