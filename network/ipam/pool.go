// Package ipam hands out the addresses of subnets. It keeps them in memory: who
// holds an address has it on record and reserves it again after a restart.
// A Pool is safe for concurrent use.
package ipam

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/network/cover"
)

// Pool is the addresses of one subnet.
type Pool struct {
	mu     sync.Mutex
	s      Subnet
	first  netip.Addr // of those that Take hands out
	last   netip.Addr
	next   netip.Addr // where the search goes on
	used   map[netip.Addr]struct{}
	spent  uint64              // how many of used are between first and last
	spared map[netip.Addr]bool // never handed out, by nobody
}

// New makes a pool for a subnet. One without room for a container is an error.
func New(s Subnet) (*Pool, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &Pool{s: s, used: map[netip.Addr]struct{}{}, spared: map[netip.Addr]bool{}}
	area := s.Prefix
	if s.Range.IsValid() {
		area = s.Range
	}
	p.first, p.last = cover.Bounds(area)
	p.next = p.first
	for _, a := range s.Edges() {
		p.spared[a] = true
	}
	if s.Gateway.IsValid() {
		p.spared[s.Gateway] = true
	}
	for _, a := range s.Aux {
		p.spared[a] = true
	}
	if p.room() == 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("subnet %s has no room for containers", area))
	}
	return p, nil
}

// Subnet returns what the pool was made of.
func (p *Pool) Subnet() Subnet { return p.s }

// room is how many addresses Take can hand out in all; p.mu is held.
func (p *Pool) room() uint64 {
	n := span(p.first, p.last)
	for a := range p.spared {
		if p.inside(a) && n > 0 {
			n--
		}
	}
	return n
}

func (p *Pool) inside(a netip.Addr) bool { return p.first.Compare(a) <= 0 && a.Compare(p.last) <= 0 }

// Take hands out a free address: the one after the last handed out, so that an
// address rests before it is used again. It fails with ResourceExhausted.
func (p *Pool) Take() (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spent >= p.room() {
		return netip.Addr{}, fmt.Errorf("no available addresses in %s: %w", p.s.Prefix, errdefs.ErrResourceExhausted)
	}
	for a := p.next; ; a = a.Next() {
		if !a.IsValid() || !p.inside(a) {
			a = p.first
		}
		if _, taken := p.used[a]; !taken && !p.spared[a] {
			p.used[a] = struct{}{}
			p.spent++
			p.next = a.Next()
			return a, nil
		}
	}
}

// Reserve takes this very address, which may be outside the range. It fails
// with AlreadyExists when somebody has it and with InvalidArgument when it is
// not the pool's to give.
func (p *Pool) Reserve(a netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.s.Prefix.Contains(a) {
		return fmt.Errorf("address %s is not one of %s: %w", a, p.s.Prefix, errdefs.ErrInvalidArgument)
	}
	if _, taken := p.used[a]; taken || p.spared[a] {
		return fmt.Errorf("Address already in use: %s: %w", a, errdefs.ErrAlreadyExists) // Docker's text
	}
	p.used[a] = struct{}{}
	if p.inside(a) {
		p.spent++
	}
	return nil
}

// Release gives an address back; one that was not taken is ignored.
func (p *Pool) Release(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.used[a]; !taken {
		return
	}
	delete(p.used, a)
	if p.inside(a) {
		p.spent--
	}
}

// Counts tells how many addresses of the subnet are in use or reserved, and how
// many Take can still hand out; both saturate.
func (p *Pool) Counts() (used, free uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint64(len(p.used) + len(p.spared)), p.room() - p.spent
}
