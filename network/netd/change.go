package netd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/berth-engine/berth/fault"
)

// change makes owner hold what it has of keep, and ports, and nothing else. It
// does all of it or nothing. The sockets that are kept are not touched.
func (s *Server) change(ctx context.Context, who opener, keep []Binding, ports []Port) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := who.owner
	if owner == "" {
		return &response{Error: "change without an owner"}
	}
	keeps := SetOf(keep)
	var kept, dropped []*held
	for _, h := range s.held[owner] {
		if keeps[h.Binding] {
			kept = append(kept, h)
		} else {
			dropped = append(dropped, h)
		}
	}
	if len(kept) != len(keep) {
		return &response{Error: fmt.Sprintf("owner %q does not hold all that it wants to keep", owner)}
	}
	got, err := s.holdAll(ctx, who, ports)
	closed := false
	if err != nil && s.refuse(err).Refusal != nil && blocks(dropped, err) {
		// What stands in the way is to go: 0.0.0.0:80 for 127.0.0.1:80.
		s.closeAll(dropped)
		s.note(owner, kept)
		closed = true
		if err := fault.Point("netd.dropped"); err != nil {
			return s.giveBack(who, kept, dropped, err)
		}
		if got, err = s.holdAll(ctx, who, ports); err != nil {
			return s.giveBack(who, kept, dropped, err)
		}
	}
	if err != nil {
		return s.refuse(err)
	}
	if !closed {
		s.closeAll(dropped)
	}
	s.cutAll(dropped)
	s.put(who, kept, got)
	return &response{Bindings: append(bindings(kept), bindings(got)...)}
}

// holdAll binds all ports or none. s.mu is held.
func (s *Server) holdAll(ctx context.Context, who opener, ports []Port) ([]*held, error) {
	var got []*held
	for _, p := range ports {
		sockets, err := s.hold(ctx, who, p)
		got = append(got, sockets...)
		if err == nil {
			err = fault.Point("netd.bound")
		}
		if err != nil {
			if b, ok := errors.AsType[*bindError](err); ok {
				b.twice = slices.ContainsFunc(got, func(h *held) bool { return h.conflicts(b.binding) })
			}
			for _, h := range got {
				_ = s.leave(h) // it was just made
			}
			return nil, err
		}
	}
	return got, nil
}

// blocks tells whether one of these sockets is why a port cannot be bound.
func blocks(sockets []*held, err error) bool {
	var b *bindError
	return errors.As(err, &b) && slices.ContainsFunc(sockets, func(h *held) bool {
		return h.spans(b.binding.HostPort) && h.Proto == b.binding.Proto && h.HostIP.Is4() == b.binding.HostIP.Is4()
	})
}

// closeAll stops listening; what is connected stays so. s.mu is held.
func (s *Server) closeAll(sockets []*held) {
	for _, h := range sockets {
		if err := s.leave(h); err != nil {
			s.log.Error("close", "port", h.HostPort, "error", err)
		}
	}
}

// cutAll ends what is connected, unless a successor has the sockets: then it goes on
// here to its end. s.mu is held.
func (s *Server) cutAll(sockets []*held) {
	if s.heir {
		return
	}
	for _, h := range sockets {
		h.cut()
	}
}

// giveBack binds again what was closed for ports that could not be had for
// another reason, and says that reason. s.mu is held.
func (s *Server) giveBack(who opener, kept, closed []*held, cause error) *response {
	r := s.refuse(cause)
	for _, h := range closed {
		if h.Count > 0 { // which has no socket
			kept = append(kept, h)
			continue
		}
		h.cut()
		again, err := s.rebind(who, h.Binding)
		if err != nil {
			s.log.Error("hold again", "port", h.HostPort, "error", err)
			continue
		}
		s.answerAt(again)
		kept = append(kept, again)
	}
	s.put(who, kept, nil)
	return r
}

// put is what owner holds from now on: what is served already, and what is
// new. s.mu is held.
func (s *Server) put(who opener, served, fresh []*held) {
	for _, h := range fresh {
		s.answerAt(h)
	}
	s.join(who.owner, who.Member)
	if s.note(who.owner, append(served, fresh...)); len(s.held[who.owner]) == 0 {
		delete(s.held, who.owner)
		delete(s.members, who.owner)
	}
}

// answerAt serves what reaches the port, if nobody does. s.mu is held.
func (s *Server) answerAt(h *held) {
	if d := h.door; d != nil && !d.served {
		d.served = true
		s.wg.Go(func() { s.serveDoor(d) })
	}
}

// Change makes owner hold keep, which it has, and ports, and nothing else; all
// of it or nothing. Why not is a *RefusalError.
func (c *Client) Change(owner string, m Member, keep []Binding, ports []Port) ([]Binding, error) {
	r, err := c.call(&request{Op: opChange, Owner: owner, Member: m.said(), Keep: keep, Ports: ports})
	if err != nil {
		return nil, err
	}
	return r.Bindings, nil
}
