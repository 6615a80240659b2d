package network

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/network/ipam"
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

// localArea is this engine's part of the unique local addresses, the same from
// one run to the next.
func localArea(dir string) (ipam.Area, error) {
	path := filepath.Join(dir, "ula")
	data, err := os.ReadFile(path)
	if err == nil {
		p, err := netip.ParsePrefix(strings.TrimSpace(string(data)))
		if a := (ipam.Area{Base: p, Bits: 64}); err == nil && a.Check() == nil && p.Bits() == 48 {
			return a, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return ipam.Area{}, err
	}
	a := ipam.LocalArea()
	return a, os.WriteFile(path, []byte(a.Base.String()+"\n"), 0o600)
}
