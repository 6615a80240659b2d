package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/bridge"
)

// forwarding is the switch of one address family.
type forwarding struct {
	sysctl string // below /proc/sys/net
	path   string // of the file with the links that are to stay apart
}

func (m *Manager) forwarding(six bool) forwarding {
	if six {
		return forwarding{"ipv6/conf/all/forwarding", filepath.Join(m.o.ExecRoot, "forwarding6.json")}
	}
	return forwarding{"ipv4/ip_forward", filepath.Join(m.o.ExecRoot, "forwarding.json")}
}

// recall returns the links that are to stay apart since an earlier engine
// switched forwarding on; on: it is on.
func (f forwarding) recall() (apart []string, on bool, err error) {
	value, err := netlink.Sysctl(f.sysctl)
	if errdefs.IsNotFound(err) {
		return nil, false, nil // a kernel without this family
	}
	if err != nil || value != "1" {
		return nil, false, err
	}
	data, err := os.ReadFile(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, true, err
	}
	return apart, true, json.Unmarshal(data, &apart)
}

// enable switches forwarding on. This host was no router then, and shall not
// become one between the links that it had: their names are returned, and kept
// for later Managers.
func (f forwarding) enable(conn *netlink.Conn) ([]string, error) {
	links, err := conn.Links()
	if err != nil {
		return nil, err
	}
	bridges := map[int]bool{}
	for _, l := range links {
		bridges[l.Index] = bridge.Ours(l)
	}
	apart := []string{}
	for _, l := range links {
		// What comes from a container comes from its bridge.
		if l.Index != netlink.LoopbackIndex && !bridges[l.Index] && !bridges[l.Master] {
			apart = append(apart, l.Name)
		}
	}
	data, err := json.Marshal(apart)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(f.path, data, 0o600); err != nil {
		return nil, err
	}
	if strings.HasPrefix(f.sysctl, "ipv6/") {
		if err := stayHost(links); err != nil {
			return nil, err
		}
	}
	return apart, netlink.SetSysctl(f.sysctl, "1")
}

// stayHost has links go on believing routers' advertisements: a host that
// forwards does not, unless told so (Linux, ip-sysctl, accept_ra).
func stayHost(links []netlink.Link) error {
	for _, l := range links {
		name := "ipv6/conf/" + l.Name + "/accept_ra"
		if v, err := netlink.Sysctl(name); err == nil && v == "1" {
			if err := netlink.SetSysctl(name, "2"); err != nil {
				return err
			}
		}
	}
	return nil
}

// forward switches forwarding of IPv4 on, and recalls what is to stay apart.
func (m *Manager) forward() (err error) {
	f := m.forwarding(false)
	on := false
	if m.apart, on, err = f.recall(); err == nil && !on && !m.o.NoForward {
		m.apart, err = f.enable(m.conn)
	}
	if err != nil {
		return err
	}
	m.apart6, _, err = m.forwarding(true).recall()
	return err
}

// forwardSix switches forwarding of IPv6 on, for the first network that has it;
// m.making is held, except in New.
func (m *Manager) forwardSix() error {
	f := m.forwarding(true)
	if _, err := netlink.Sysctl(f.sysctl); errdefs.IsNotFound(err) {
		return fmt.Errorf("this kernel has no IPv6: %w", errdefs.ErrFailedPrecondition)
	}
	_, on, err := f.recall()
	if err != nil || on || m.o.NoForward {
		return err
	}
	apart, err := f.enable(m.conn)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.apart6 = apart
	if m.table == nil { // still in New
		return nil
	}
	return m.replace(m.published())
}
