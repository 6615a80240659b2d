// Package ipam hands out the addresses of one subnet. It keeps them in memory:
// who holds an address has it on record and reserves it again after a restart.
// A Pool is safe for concurrent use.
package ipam

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/containerd/errdefs"
)

// Pool is the addresses of an IPv4 subnet without its first (the network), its
// last (broadcast) and the gateway.
type Pool struct {
	mu      sync.Mutex
	subnet  netip.Prefix
	gateway netip.Addr
	last    netip.Addr
	next    netip.Addr // where the search goes on
	used    map[netip.Addr]struct{}
}

// New makes a pool for subnet, of which gateway is never handed out. A subnet
// without room for one container is an error.
func New(subnet netip.Prefix, gateway netip.Addr) (*Pool, error) {
	if !subnet.Addr().Is4() || subnet.Bits() > 30 {
		return nil, fmt.Errorf("subnet %s has no room for containers: %w", subnet, errdefs.ErrInvalidArgument)
	}
	if !subnet.Contains(gateway) {
		return nil, fmt.Errorf("gateway %s is outside subnet %s: %w", gateway, subnet, errdefs.ErrInvalidArgument)
	}
	subnet = subnet.Masked()
	return &Pool{subnet: subnet, gateway: gateway, last: lastOf(subnet), next: subnet.Addr().Next(), used: map[netip.Addr]struct{}{}}, nil
}

// lastOf is the highest address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// Subnet returns the pool's prefix.
func (p *Pool) Subnet() netip.Prefix { return p.subnet }

// Gateway returns the address that is never handed out.
func (p *Pool) Gateway() netip.Addr { return p.gateway }

// Take hands out a free address: the one after the last handed out, so that an
// address rests before it is used again. It fails with ResourceExhausted.
func (p *Pool) Take() (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.used) >= p.size() {
		return netip.Addr{}, fmt.Errorf("no available IPv4 addresses on this network's address pools: %s: %w", p.subnet, errdefs.ErrResourceExhausted)
	}
	for a := p.next; ; a = a.Next() {
		if a == p.last || !p.subnet.Contains(a) {
			a = p.subnet.Addr().Next()
		}
		if _, taken := p.used[a]; !taken && a != p.gateway {
			p.used[a] = struct{}{}
			p.next = a.Next()
			return a, nil
		}
	}
}

// size is how many addresses can be handed out.
func (p *Pool) size() int {
	return 1<<(32-p.subnet.Bits()) - 3
}

// Reserve takes this very address. It fails with AlreadyExists when somebody
// has it and with InvalidArgument when it is not the pool's to give.
func (p *Pool) Reserve(a netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.subnet.Contains(a) || a == p.last || a == p.subnet.Addr() || a == p.gateway {
		return fmt.Errorf("address %s is not one of %s for containers: %w", a, p.subnet, errdefs.ErrInvalidArgument)
	}
	if _, taken := p.used[a]; taken {
		return fmt.Errorf("Address already in use: %s: %w", a, errdefs.ErrAlreadyExists) // Docker's text
	}
	p.used[a] = struct{}{}
	return nil
}

// Release gives an address back; one that was not taken is ignored.
func (p *Pool) Release(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, a)
}
