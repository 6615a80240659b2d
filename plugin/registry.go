package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// Registry finds plugins and remembers those that are active. The zero value is
// not usable.
type Registry struct {
	sockets string
	specs   []string

	mu     sync.Mutex
	active map[string]*Plugin
}

// Options says where plugins are. The zero value means Docker's places.
type Options struct {
	Sockets string   // directory of sockets; "": SocketDir
	Specs   []string // directories of spec files, the first counts most; nil: AdminDir, VendorDir
}

// New makes a registry. Nothing is looked for before it is asked for.
func New(o Options) *Registry {
	if o.Sockets == "" {
		o.Sockets = SocketDir
	}
	if o.Specs == nil {
		o.Specs = []string{AdminDir, VendorDir}
	}
	return &Registry{sockets: o.Sockets, specs: o.Specs, active: map[string]*Plugin{}}
}

// activateTime is how long a plugin may take to answer for the first time.
const activateTime = 30 * time.Second

// Get returns a plugin that implements a capability, such as "VolumeDriver",
// activating it if it is not active. Errors: NotFound for one that does not
// exist or does not implement it.
func (r *Registry) Get(ctx context.Context, name, capability string) (*Plugin, error) {
	r.mu.Lock()
	p := r.active[name]
	r.mu.Unlock()
	if p == nil {
		a, err := r.find(name)
		if err != nil {
			return nil, err
		}
		if p, err = open(name, a); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, activateTime)
		defer cancel()
		if err := p.activate(ctx); err != nil {
			return nil, err
		}
		r.mu.Lock()
		if other := r.active[name]; other != nil {
			p = other // somebody was quicker
		} else {
			r.active[name] = p
		}
		r.mu.Unlock()
	}
	if !slices.Contains(p.implements, capability) {
		return nil, fmt.Errorf("plugin %q does not implement %q%w", name, capability, kind{errdefs.ErrNotFound})
	}
	return p, nil
}

// All returns the plugins that implement a capability; "" means any. Those that
// do not answer within the context are left out.
func (r *Registry) All(ctx context.Context, capability string) []*Plugin {
	var mu sync.Mutex
	var list []*Plugin
	var wg sync.WaitGroup
	for _, name := range r.Names() {
		wg.Go(func() {
			p, err := r.Get(ctx, name, capability)
			if capability == "" {
				r.mu.Lock()
				p = r.active[name]
				r.mu.Unlock()
				err = nil
			}
			if err == nil && p != nil {
				mu.Lock()
				defer mu.Unlock()
				list = append(list, p)
			}
		})
	}
	wg.Wait()
	slices.SortFunc(list, func(a, b *Plugin) int { return strings.Compare(a.name, b.name) })
	return list
}

// Active names the plugins that were activated and implement a capability. It
// asks nobody.
func (r *Registry) Active(capability string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for name, p := range r.active {
		if slices.Contains(p.implements, capability) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
