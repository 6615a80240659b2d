package network

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
)

// grace is how long a link may take to vanish with its container's namespace.
const grace = time.Second

// lingering are the links of containers that are gone. A link goes by itself with
// the namespace, which costs nobody anything; but a namespace stays for as long as
// a process of another container is in it, or a connection has something to tell a
// peer that is gone, too (more than a minute, see tcp_orphan_retries in tcp(7)).
// Until then it would answer for an address that the next container may have.
type lingering struct {
	mu    sync.Mutex
	links map[string]time.Time // since when
	added chan struct{}        // of one: there are some
}

func newLingering() *lingering {
	return &lingering{links: map[string]time.Time{}, added: make(chan struct{}, 1)}
}

func (l *lingering) add(link string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links[link] = time.Now()
	select {
	case l.added <- struct{}{}:
	default:
	}
}

// take returns those that are there since before a time, and forgets them.
func (l *lingering) take(before time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for name, since := range l.links {
		if since.Before(before) {
			names = append(names, name)
			delete(l.links, name)
		}
	}
	return names
}

// sweep removes links that linger, until ctx ends, and then all.
func (m *Manager) sweep(ctx context.Context) {
	conn, err := netlink.Open()
	if err != nil {
		m.log.Error("links of containers that are gone stay as long as their namespaces", "error", err)
		return
	}
	defer conn.Close()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-m.lingering.added:
		}
		select { // what comes meanwhile is for the next round
		case <-ctx.Done():
		case now := <-time.After(2 * grace):
			m.removeLingering(conn, now.Add(-grace))
		}
	}
	m.removeLingering(conn, time.Now())
}

func (m *Manager) removeLingering(conn *netlink.Conn, since time.Time) {
	for _, name := range m.lingering.take(since) {
		if err := removeLink(conn, name); err != nil {
			m.log.Warn("remove the link of a container that is gone", "link", name, "error", err)
		}
	}
}

// removeLink removes a link that may be gone, or vanish meanwhile.
func removeLink(conn *netlink.Conn, name string) error {
	l, err := conn.Link(name)
	if err == nil {
		if err = conn.Delete(l.Index); err != nil {
			if _, gone := conn.Link(name); errdefs.IsNotFound(gone) {
				err = nil
			}
		}
	}
	if errdefs.IsNotFound(err) {
		err = nil
	}
	return err
}
