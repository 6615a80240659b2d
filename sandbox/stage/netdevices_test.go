package stage

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// pair makes a device, and removes it if it is still here at the end.
func pair(t *testing.T, suffix, address string) (name string) {
	t.Helper()
	name = fmt.Sprintf("bt%d%s", os.Getpid()%100000, suffix)
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}))
	t.Cleanup(func() {
		for _, n := range []string{name, name + "p"} {
			if l, err := netlink.LinkByName(n); err == nil {
				_ = netlink.LinkDel(l) // the pair goes together
			}
		}
	})
	l, err := netlink.LinkByName(name)
	must(t, err)
	a, err := netlink.ParseAddr(address)
	must(t, err)
	must(t, netlink.AddrAdd(l, a))
	return name
}

func TestNetDevices(t *testing.T) {
	first, second := pair(t, "a", "192.0.2.1/24"), pair(t, "b", "198.51.100.1/24")
	b, h, file := hookBox(t, "/probe", "read", "/proc/net/fib_trie", "/proc/sys/net/ipv4/conf/eth5/forwarding")
	spec := b.config.Spec
	spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{first: {Name: "eth5"}, second: {}}
	spec.Linux.Sysctl = map[string]string{"net.ipv4.conf.eth5.forwarding": "1"}
	h.CreateRuntime = []specs.Hook{{
		Path: "/bin/sh", Env: []string{"PATH=/bin:/usr/bin"},
		Args: []string{"sh", "-c", `pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/'); cat /proc/$pid/net/dev >"$1"`, "sh", file},
	}}
	out, code := b.run()
	for _, want := range []string{"192.0.2.1", "198.51.100.1", `/proc/sys/net/ipv4/conf/eth5/forwarding "1\n"`} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %s in\n%s", code, want, out)
		}
	}
	seen, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(seen), "eth5:") || !strings.Contains(string(seen), second+":") {
		t.Errorf("hooks see %s, %v", seen, err)
	}
	if _, err := netlink.LinkByName(first); err == nil {
		t.Errorf("%s is still here", first)
	}
}

func TestNetDeviceErrors(t *testing.T) {
	noLeak(t)
	there := pair(t, "c", "192.0.2.1/24")
	for want, devices := range map[string]map[string]specs.LinuxNetDevice{
		`network device "nosuch0": no such device`:               {"nosuch0": {}, there: {}},
		`the container has a device "lo": file exists`:           {there: {Name: "lo"}},
		`invalid network device name "a/b"`:                      {there: {Name: "a/b"}},
		`invalid network device name "a b"`:                      {"a b": {}},
		`unable to move network devices without a NET namespace`: {there: {}},
	} {
		spec := defaultSpec("/probe")
		spec.Linux.NetDevices = devices
		if strings.HasPrefix(want, "unable") {
			spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}, {Type: "uts"}}
		}
		err := newBox(t, spec).spawn()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if strings.Contains(want, "invalid") != errors.As(err, new(*InvalidSpecError)) && !strings.HasPrefix(want, "unable") {
			t.Errorf("%T", err)
		}
	}
	if _, err := netlink.LinkByName(there); err != nil {
		t.Error("moved although that failed")
	}
}
