package network

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// identify reads what says which networks these are, or makes it.
func (m *Manager) identify(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	m.fixed, m.defs = map[string]string{}, definitions(filepath.Join(dir, "networks"))
	for _, name := range []string{DefaultNetwork, "host", "none"} {
		if m.fixed[name], err = identity(filepath.Join(dir, name+".id")); err != nil {
			return err
		}
	}
	info, err := os.Stat(filepath.Join(dir, "bridge.id"))
	if err != nil {
		return err
	}
	m.created = info.ModTime().UTC()
	m.local, err = localArea(dir)
	return err
}

// Network describes a network.
type Network struct {
	ID, Name, Driver string
	Link             string // the bridge's name on the host
	Subnet           netip.Prefix
	Gateway          netip.Addr
	MTU              int
}

// Default returns the network that always exists.
func (m *Manager) Default() Network {
	b := m.home.bridge
	a := b.Address()
	return Network{ID: m.home.def.ID, Name: DefaultNetwork, Driver: DriverBridge, Link: b.Name(), Subnet: a.Masked(), Gateway: a.Addr(), MTU: b.MTU()}
}

// lastAddress is what the bridge had when an engine last ran here; zero, if
// there is no such file or it makes no sense.
func lastAddress(path string) netip.Prefix {
	data, err := os.ReadFile(path)
	if err != nil {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(strings.TrimSpace(string(data)))
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// identity reads a network's id, or makes one.
func identity(path string) (string, error) {
	data, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(data)); err == nil && len(id) == 64 {
		return id, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	id := newID()
	return id, os.WriteFile(path, []byte(id+"\n"), 0o600)
}
