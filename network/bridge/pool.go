package bridge

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/kernel/pressure"
	"github.com/berth-engine/berth/network/netns"
)

// DefaultPool is how many namespaces are kept ready.
const DefaultPool = 4

// Namespace is one with an interface on a bridge.
type Namespace struct {
	*netns.Namespace
	port Port
	on   *Bridge
}

// Pool keeps namespaces ready, for its bridge and for others: on the one where
// the last was wanted. To move one takes longer the more ports a bridge has.
type Pool struct {
	bridge *Bridge
	wanted atomic.Pointer[Bridge] // nil: bridge
	user   *os.File               // the user namespace that they belong to; nil: the caller's
	ready  chan *Namespace
	taken  chan struct{}
	short  func() bool // whether memory is
}

// NewPool makes a pool for size namespaces, which Run fills. 0: DefaultPool;
// negative: none. They belong to the user namespace user; nil: to the caller's.
func NewPool(b *Bridge, user *os.File, size int) *Pool {
	if size == 0 {
		size = DefaultPool
	}
	return &Pool{bridge: b, user: user, ready: make(chan *Namespace, max(size, 0)), taken: make(chan struct{}, 1), short: pressure.MemoryShort}
}

// Leave makes nothing more ready on a bridge that is about to go. What is ready
// there can still be moved to others.
func (p *Pool) Leave(b *Bridge) { p.wanted.CompareAndSwap(b, nil) }

// next is the bridge on which one is made ready.
func (p *Pool) next() *Bridge {
	if b := p.wanted.Load(); b != nil {
		return b
	}
	return p.bridge
}

// Take returns a ready namespace with an interface on b, or makes one.
func (p *Pool) Take(b *Bridge) (*netns.Namespace, Port, error) {
	if b.ours { // what is left on another's bridge would stay there
		p.wanted.Store(b)
	}
	select {
	case n := <-p.ready:
		select {
		case p.taken <- struct{}{}:
		default:
		}
		if err := b.move(n); err != nil {
			n.Close()
			return nil, Port{}, err
		}
		return n.Namespace, n.port, nil
	default:
		n, err := b.Plug(p.user)
		if err != nil {
			return nil, Port{}, err
		}
		return n.Namespace, n.port, nil
	}
}

// retry is how long to wait after the kernel refused a namespace.
const retry = time.Second

// look is how long to wait before it is asked again whether memory is short.
const look = 5 * time.Second

// room tells whether more is to be made ready. While memory is short nothing is,
// and what was is given back.
func (p *Pool) room() bool {
	if p.short() {
		p.drop()
		return false
	}
	return len(p.ready) < cap(p.ready)
}

// Run fills the pool, one namespace at a time because the kernel makes them one
// at a time, until ctx ends; then it drops what is left. While memory is short
// it keeps none.
func (p *Pool) Run(ctx context.Context) {
	defer p.drop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for ctx.Err() == nil {
		if !p.room() {
			select {
			case <-p.taken:
			case <-tick.C:
			case <-ctx.Done():
			}
			continue
		}
		b := p.next()
		n, err := b.Plug(p.user)
		if err == nil {
			p.ready <- n // there is room, and nobody else fills it
			continue
		}
		if b != p.bridge { // which may have gone
			p.Leave(b)
			continue
		}
		p.bridge.log.Error("prepare a network namespace", "error", err)
		select {
		case <-time.After(retry):
		case <-ctx.Done():
		}
	}
}

func (p *Pool) drop() {
	for {
		select {
		case n := <-p.ready:
			n.Close()
		default:
			return
		}
	}
}
