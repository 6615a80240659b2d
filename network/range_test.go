package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// udpRange is -p FIRST-LAST:FIRST-LAST/udp.
func udpRange(first, last uint16) []PortSpec {
	var specs []PortSpec
	for n := int(first); n <= int(last); n++ {
		specs = append(specs, PortSpec{HostPort: uint16(n), ContainerPort: uint16(n), Proto: "udp"})
	}
	return specs
}

// TestLongRange publishes ten thousand ports: one element of the firewall, no
// sockets, and still nobody else gets one of them from us.
func TestLongRange(t *testing.T) {
	w := newWorld(t)
	taken, err := net.ListenPacket("udp4", "127.0.0.1:15000")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = w.m.Attach(t.Context(), Desired{ID: "a", Ports: udpRange(10000, 20000)})
	port, ok := errors.AsType[*PortError](err)
	if !ok || port.HostPort != 15000 || port.Allocated || !strings.Contains(err.Error(), fmt.Sprintf("process %d (", os.Getpid())) {
		t.Errorf("a port of the range is taken: %v", err)
	}
	taken.Close()

	before := memory(t, w.netds()[0])
	begun := time.Now()
	a := w.attach("a", udpRange(10000, 20000)...)
	t.Logf("published in %v; berth-netd has %d kB more", time.Since(begun), memory(t, w.netds()[0])-before)
	if n := len(a.r.Ports.list()); n != 10001 || len(a.r.Ports) != 1 {
		t.Errorf("%d bindings in %d rows", n, len(a.r.Ports))
	}
	if got := strings.Count(sh(t, "nft list map inet berth published4_ranges"), "udp"); got != 1 {
		t.Errorf("%d elements", got)
	}
	for _, n := range []int{10000, 15000, 20000} {
		a.serveUDP(n, fmt.Sprint(n))
		w.want(nil, "udp", fmt.Sprintf("127.0.0.1:%d", n), fmt.Sprintf("%d hello", n))
		w.want(w.outside, "udp", fmt.Sprintf("%s:%d", hostOutside, n), fmt.Sprintf("%d hello", n))
	}
	_, _, err = w.m.Attach(t.Context(), Desired{ID: "b", Ports: udpRange(20000, 20000)})
	if port, ok := errors.AsType[*PortError](err); !ok || !port.Allocated {
		t.Errorf("a port of the range once more: %v", err)
	}
	_, _, err = w.m.Attach(t.Context(), Desired{ID: "b", Ports: udpRange(19000, 21000)})
	if port, ok := errors.AsType[*PortError](err); !ok || !port.Allocated || port.HostPort != 19000 {
		t.Errorf("a range that overlaps: %v", err)
	}

	// It outlives engine and netd, and goes with the container.
	w.crash()
	w.start()
	w.adopt(a)
	w.want(nil, "udp", "127.0.0.1:15000", "15000 hello")
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, "nft list map inet berth published4_ranges"); strings.Contains(got, "udp") {
		t.Errorf("left: %s", got)
	}
	w.attach("b", udpRange(20000, 20000)...)
}

// TestShiftedRange: ports that are others on the host are an element each, in one
// transaction of a megabyte; also when everything is made anew.
func TestShiftedRange(t *testing.T) {
	w := newWorld(t)
	specs := udpRange(10000, 20000)
	for i := range specs {
		specs[i].HostPort += 30000
	}
	a := w.attach("a", specs...)
	works := func() {
		t.Helper()
		for _, n := range []int{10000, 20000} {
			w.want(nil, "udp", fmt.Sprintf("127.0.0.1:%d", n+30000), fmt.Sprintf("%d hello", n))
			w.want(w.outside, "udp", fmt.Sprintf("%s:%d", hostOutside, n+30000), fmt.Sprintf("%d hello", n))
		}
	}
	for _, n := range []int{10000, 20000} {
		a.serveUDP(n, fmt.Sprint(n))
	}
	works()
	w.m.mu.Lock()
	err := w.m.replace(w.m.published())
	w.m.mu.Unlock()
	if err != nil {
		t.Errorf("make the table anew: %v", err)
	}
	works()
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, "nft list map inet berth published4_any"); strings.Contains(got, "udp") {
		t.Errorf("left: %.500s", got)
	}
}

// TestAnyPort: a port that the kernel chooses is in no range that is published
// without sockets.
func TestAnyPort(t *testing.T) {
	sh(t, "echo 30000 31000 > /proc/sys/net/ipv4/ip_local_port_range")
	t.Cleanup(func() { sh(t, "echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range") })
	w := newWorld(t)
	w.attach("a", udpRange(30000, 30300)...)
	for i := range 3 {
		c := w.attach(fmt.Sprint(i), PortSpec{ContainerPort: 53, Proto: "udp"})
		if n := c.r.Ports[0].HostPort; n <= 30300 {
			t.Errorf("port %d is published already", n)
		}
	}
}

// memory is what a process has in use, in kB.
func memory(t *testing.T, pid int) int {
	t.Helper()
	for line := range strings.Lines(sh(t, fmt.Sprintf("cat /proc/%d/status", pid))) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
