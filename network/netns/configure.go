package netns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/kernel/ns"
)

// Config is what an interface is to be.
type Config struct {
	Name      string           // "": as it is
	MAC       net.HardwareAddr // nil: as it is
	Addresses []netip.Prefix
	// Sysctls are settings of this interface below /proc/sys/net, in which
	// IFNAME stands for its name: "net.ipv4.conf.IFNAME.log_martians=1".
	Sysctls []string
	// Listen believes what routers advertise, if there is an IPv6 address.
	Listen bool
	// Announce tells the neighbours who has the addresses now.
	Announce bool
}

func (c *Config) six() bool {
	return slices.ContainsFunc(c.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() })
}

// Configure sets an interface up, and returns it as it is then. An interface
// without an IPv6 address is deaf to IPv6, before it is up.
func (n *Namespace) Configure(i Interface, c Config) (Interface, error) {
	if c.Name != "" && c.Name != i.Name {
		if err := n.rename(&i, c.Name); err != nil {
			return i, fmt.Errorf("name interface %s: %w", c.Name, err)
		}
	}
	if c.MAC != nil {
		if err := n.conn.SetMAC(i.Index, c.MAC); err != nil {
			return i, fmt.Errorf("set MAC address %s: %w", c.MAC, err)
		}
		i.MAC = c.MAC
	}
	// One that is up was made deaf when it was made.
	if !i.Up || c.six() || len(c.Sysctls) > 0 {
		if err := ns.WithNetNS(n.File, func() error { return n.settle(&i, &c) }); err != nil {
			return i, err
		}
	}
	for _, p := range c.Addresses {
		if err := n.conn.AddAddr(i.Index, p); err != nil {
			return i, fmt.Errorf("set address %s: %w", p, err)
		}
	}
	if !i.Up {
		if err := n.conn.SetUp(i.Index); err != nil {
			return i, fmt.Errorf("bring up %s: %w", i.Name, err)
		}
		i.Up = true
	}
	if c.Announce {
		// Nobody is worse off than before if it fails.
		_ = ns.WithNetNS(n.File, func() error { return netlink.Announce(i.Index, i.MAC, c.Addresses) })
	}
	return i, nil
}

func (n *Namespace) rename(i *Interface, name string) error {
	if i.Up {
		if err := n.conn.SetDown(i.Index); err != nil {
			return err
		}
		i.Up = false
	}
	if err := n.conn.Rename(i.Index, name); err != nil {
		return err
	}
	i.Name = name
	return nil
}

// settle makes the interface's settings; the calling thread is in the
// namespace.
func (n *Namespace) settle(i *Interface, c *Config) error {
	enable := netlink.DisableIPv6
	if c.six() {
		enable = netlink.EnableIPv6
	}
	if err := enable(i.Name); err != nil {
		return err
	}
	if c.six() && c.Listen {
		if err := netlink.SetSysctl("ipv6/conf/"+i.Name+"/accept_ra", "1"); err != nil {
			return err
		}
	}
	for _, s := range c.Sysctls {
		key, value, _ := strings.Cut(s, "=")
		path, ok := SysctlPath(key, i.Name)
		if !ok {
			return fmt.Errorf("sysctl %q is not one of an interface", key)
		}
		if err := netlink.SetSysctl(path, value); err != nil {
			return fmt.Errorf("set sysctl %s: %w", key, err)
		}
	}
	return nil
}

// SysctlPath turns "net.ipv4.conf.IFNAME.log_martians" into the path below
// /proc/sys/net for an interface; ok: it is a setting of one interface.
func SysctlPath(key, name string) (path string, ok bool) {
	f := strings.SplitN(key, ".", 5)
	if len(f) != 5 || f[0] != "net" || !slices.Contains([]string{"ipv4", "ipv6", "mpls"}, f[1]) || !strings.EqualFold(f[3], "IFNAME") {
		return "", false
	}
	for _, part := range []string{f[2], f[4]} {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return "", false
		}
	}
	return strings.Join([]string{f[1], f[2], name, f[4]}, "/"), true
}
