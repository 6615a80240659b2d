package network

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/network/nft"
)

// guard keeps the containers of a network from taking each other's addresses,
// and the host's. Hardware addresses are the bridge's to guard (Bridge.Pin).
type guard struct {
	mu      sync.Mutex
	table   *nft.Guard            // nil: this kernel cannot
	holders map[string]nft.Holder // by endpoint or network
	hosts   map[uint32]int        // how many networks have the same group
}

// open makes the table. What an earlier engine protected stays so until settle.
func (g *guard) open(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	table, err := nft.OpenGuard(name)
	if err != nil {
		return err
	}
	if err = table.Replace(g.all(), true); err == nil {
		g.table = table
		return nil
	}
	if errdefs.IsNotImplemented(err) {
		err = nil
	}
	return errors.Join(err, table.Close())
}

// all is in a fixed order; g.mu is held.
func (g *guard) all() []nft.Holder {
	var out []nft.Holder
	for _, key := range slices.Sorted(maps.Keys(g.holders)) {
		out = append(out, g.holders[key])
	}
	return out
}

// know remembers a holder without telling the kernel, which knows from an
// earlier engine or is told by settle.
func (g *guard) know(key string, h nft.Holder) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holders == nil {
		g.holders, g.hosts = map[string]nft.Holder{}, map[uint32]int{}
	}
	g.drop(key)
	g.holders[key] = h
	if h.Link == "" {
		g.hosts[h.Group]++
	}
}

// drop forgets a holder; g.mu is held.
func (g *guard) drop(key string) {
	h, ok := g.holders[key]
	if !ok {
		return
	}
	delete(g.holders, key)
	if h.Link != "" {
		return
	}
	if g.hosts[h.Group]--; g.hosts[h.Group] == 0 {
		delete(g.hosts, h.Group)
	}
}

// add protects a holder's addresses from now on; the caller has them for sure.
func (g *guard) add(key string, h nft.Holder) error {
	g.know(key, h)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table == nil {
		return nil
	}
	err := g.table.Add(h)
	if err != nil { // somebody removed the table
		err = g.table.Replace(g.all(), false)
	}
	if err != nil {
		g.drop(key)
		return fmt.Errorf("guard addresses: %w", err)
	}
	return nil
}

// remove takes back what add did; it is no error if there is nothing.
func (g *guard) remove(key string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	h, ok := g.holders[key]
	if !ok || g.table == nil {
		return nil
	}
	g.drop(key)
	shared := h.Link == "" && g.hosts[h.Group] > 0 // what is the network's, by another of the same group
	var err error
	if !shared {
		err = g.table.Remove(h)
	}
	if shared || err != nil {
		err = g.table.Replace(g.all(), false)
	}
	if err != nil {
		return fmt.Errorf("guard addresses: %w", err)
	}
	return nil
}

// settle makes the table exactly what it should be.
func (g *guard) settle() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table == nil {
		return nil
	}
	return g.table.Replace(g.all(), false)
}

// intact tells whether nobody took anything of the table.
func (g *guard) intact() (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table == nil {
		return true, nil
	}
	return g.table.Intact()
}

// text is the table in the language of nft(8); "": there is none.
func (g *guard) text() (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table == nil {
		return "", nil
	}
	return g.table.Text()
}

// works tells whether this kernel has such tables.
func (g *guard) works() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table != nil
}

// close ends the connection; the table stays.
func (g *guard) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table == nil {
		return nil
	}
	return g.table.Close()
}

// end removes the table.
func (g *guard) end() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table == nil {
		return nil
	}
	return errors.Join(g.table.Delete(), g.table.Close())
}

// guarded tells whether containers' addresses are guarded on a network.
func (s *segment) guarded() bool { return s.bridge != nil && !s.o.unguarded }

// host is what the host has on the network.
func (s *segment) host() nft.Holder {
	h := nft.Holder{Group: s.bridge.Group()}
	if a := s.bridge.Address(); a.IsValid() {
		h.Addresses = append(h.Addresses, a.Addr())
	}
	if six := s.def.home(true); six.IsValid() && s.o.gateway6 != nft.Isolated {
		h.Addresses = append(h.Addresses, six.Addr(), linkLocal(s.bridge.MAC()))
	}
	return h
}

// holder is what an endpoint has on the network.
func (s *segment) holder(e *Endpoint) nft.Holder {
	h := nft.Holder{Group: s.bridge.Group(), Link: e.HostLink}
	six := false
	for _, p := range e.addresses() {
		h.Addresses = append(h.Addresses, p.Addr())
		six = six || p.Addr().Is6()
	}
	if mac, err := net.ParseMAC(e.MAC); err == nil && six {
		if a := linkLocal(mac); !slices.Contains(h.Addresses, a) {
			h.Addresses = append(h.Addresses, a)
		}
	}
	return h
}

// linkLocal is the address that a link makes of its hardware address (RFC 4291,
// appendix A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	a := [16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
	return netip.AddrFrom16(a)
}
