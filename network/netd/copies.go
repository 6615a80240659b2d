package netd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/berth-engine/berth/kernel/socket"
)

// copies sends the engine what owner holds, and copies of the sockets in the
// same order: while the engine has them, they stay open should this process be
// killed, and nobody can take their ports.
func (s *Server) copies(c *net.UnixConn, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := writeFrame(c, &response{Bindings: bindings(s.held[owner])}); err != nil {
		return err
	}
	return sendAll(c, s.held[owner])
}

// sendAll sends the descriptors of sockets; runs of ports have none.
func sendAll(c *net.UnixConn, sockets []*held) error {
	for _, h := range sockets {
		if h.Count > 0 {
			continue
		}
		f, err := h.door.file()
		if err != nil {
			return err
		}
		err = socket.SendFile(c, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// receive puts behind a door, made of a descriptor, what a binding says. Of a
// door that is there the descriptor is another copy. s.mu is held.
func (s *Server) receive(who opener, b Binding, f *os.File) (*held, error) {
	h := &held{Binding: b, owner: who.owner, member: who.Member}
	if d := s.shared(who, h.place()); d != nil {
		d.enter(h)
		return h, nil
	}
	d := &door{share: who.Share}
	var ok bool
	var err error
	if b.Proto != "udp" {
		if d.listener, err = net.FileListener(f); err == nil {
			_, ok = d.listener.(*net.TCPListener)
		}
	} else if d.packets, err = net.FilePacketConn(f); err == nil {
		_, ok = d.packets.(*net.UDPConn)
	}
	if err != nil {
		return nil, err
	}
	s.open(d, h)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a descriptor is no %s socket", b.Proto), s.leave(h))
	}
	if err := d.mark(); err != nil { // one of an earlier engine is not
		return nil, errors.Join(err, s.leave(h))
	}
	return h, nil
}

// sockets is how many of the bindings have one.
func sockets(all []Binding) int {
	n := 0
	for i := range all {
		if all[i].Count == 0 {
			n++
		}
	}
	return n
}

// restore holds sockets that the engine kept. The files are used up.
func (s *Server) restore(who opener, want []Binding, files []*os.File) *response {
	defer closeFiles(files)
	s.mu.Lock()
	defer s.mu.Unlock()
	if who.owner == "" || s.held[who.owner] != nil || s.heir {
		return &response{Error: fmt.Sprintf("owner %q holds ports already", who.owner)}
	}
	var got []*held
	for _, b := range want {
		h := &held{Binding: b, owner: who.owner}
		if b.Count == 0 {
			var err error
			if h, err = s.receive(who, b, files[0]); err != nil {
				s.closeAll(got)
				return &response{Error: err.Error()}
			}
			files[0].Close()
			files = files[1:]
		}
		got = append(got, h)
	}
	s.add(who, got)
	return &response{Bindings: want}
}

// Copies returns what owner holds, with copies of the sockets in the same
// order (nil: a run of ports, which has none).
func (c *Client) Copies(owner string) ([]Binding, []*socket.Kept, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.exchange(&request{Op: opCopies, Owner: owner})
	if err != nil {
		return nil, nil, err
	}
	kept := make([]*socket.Kept, len(r.Bindings))
	for i := range r.Bindings {
		if r.Bindings[i].Count > 0 {
			continue
		}
		if kept[i], err = socket.ReceiveKept(c.conn); err != nil {
			closeKept(kept)
			return nil, nil, err
		}
	}
	return r.Bindings, kept, nil
}

func closeKept(all []*socket.Kept) {
	for _, k := range all {
		k.Close()
	}
}

// Restore has netd hold what an earlier one held, by copies of its sockets,
// which stay the caller's.
func (c *Client) Restore(owner string, m Member, want []Binding, kept []*socket.Kept) error {
	kept = slices.DeleteFunc(slices.Clone(kept), func(k *socket.Kept) bool { return k == nil })
	if len(kept) != sockets(want) {
		return fmt.Errorf("%d sockets for %d bindings: %w", len(kept), len(want), os.ErrInvalid)
	}
	_, err := c.call(&request{Op: opRestore, Owner: owner, Member: m.said(), Keep: want}, kept...)
	return err
}
