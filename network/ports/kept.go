package ports

import (
	"github.com/berth-engine/berth/kernel/socket"
	"github.com/berth-engine/berth/network/netd"
)

// kept is the sockets of one owner's ports, copies of netd's: should netd be
// killed, they stay open, nobody can bind their ports, and whoever connects
// waits for the next netd.
type kept struct {
	bindings []netd.Binding
	sockets  []*socket.Kept // one for each binding; nil: a run of ports
}

// keep gets copies of what owner holds; k.mu is held. Without them, the ports
// are free for a moment if netd dies: that is no reason not to publish.
func (k *Keeper) keep(owner string) {
	k.letGo(owner)
	bindings, sockets, err := k.client.Copies(owner)
	if err != nil {
		k.o.Log.Warn("keep copies of sockets", "owner", owner, "error", err)
		return
	}
	if len(bindings) == 0 {
		return
	}
	k.kept[owner] = &kept{bindings, sockets}
}

// letGo closes the copies of what owner holds; k.mu is held. It comes before
// netd closes its own, because a port is free when the last copy is closed.
func (k *Keeper) letGo(owner string) {
	if h := k.kept[owner]; h != nil {
		for _, s := range h.sockets {
			s.Close()
		}
		delete(k.kept, owner)
	}
}

// letGoBut closes those of owner's copies that are not in stay; k.mu is held.
func (k *Keeper) letGoBut(owner string, stay []netd.Binding) {
	h := k.kept[owner]
	if h == nil {
		return
	}
	stays := netd.SetOf(stay)
	for i, b := range h.bindings {
		if !stays[b] {
			h.sockets[i].Close()
			h.sockets[i] = nil
		}
	}
}

// holdAgain has a new netd hold what the old one did for owner; k.mu is held.
func (k *Keeper) holdAgain(owner string) error {
	want := k.held[owner]
	if h := k.kept[owner]; h != nil && sameBindings(h.bindings, want) {
		err := k.client.Restore(owner, k.members[owner], h.bindings, h.sockets)
		if err == nil {
			return nil
		}
		k.o.Log.Warn("hold kept sockets again", "owner", owner, "error", err)
	}
	k.letGo(owner)
	err := hold(k.client, owner, k.members[owner], want)
	if err == nil {
		k.keep(owner)
	}
	return err
}
