package netd

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
)

// contain is deferred. It keeps a panic from ending the process, on which every
// port and name of the host depends: the panic is in the log, and then does what
// is left to do. A panic in then does end the process; the engine has copies of
// its sockets, and starts another.
func (s *Server) contain(what string, then func()) {
	if p := recover(); p != nil {
		s.crashed(what, p)
		then()
	}
}

// crashed logs a panic, with the stack of who calls while it is recovered.
func (s *Server) crashed(what string, p any) {
	s.log.Error("panic", "in", what, "panic", p, "stack", string(debug.Stack()))
}

// nothing is what is left to do after a panic where deferred calls do it all.
func nothing() {}

// internal is the answer to a request that met a panic.
func internal(op string) *response {
	return &response{Error: fmt.Sprintf("internal error in %q: nothing was changed; the log of berth-netd tells more", op)}
}

// before is what a request that meets a panic is to leave behind for its owner:
// what the owner held. Who lets go holds nothing afterwards, in any case.
func (s *Server) before(req *request) ([]Binding, Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.Op == opRelease {
		return nil, Member{}
	}
	return bindings(s.held[req.Owner]), s.members[req.Owner]
}

// putBack undoes what a request did for its owner until it met a panic.
func (s *Server) putBack(owner string, was []Binding, m Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropStray()
	if s.heir {
		return // another process has them
	}
	who := opener{owner, m}
	var all []*held
	for _, b := range was {
		h, err := s.again(who, b)
		if err != nil {
			s.log.Error("hold again", "owner", owner, "port", b.HostPort, "error", err)
			continue
		}
		all = append(all, h)
	}
	for _, h := range s.held[owner] {
		if !slices.Contains(all, h) {
			s.shut(h)
		}
	}
	s.put(who, nil, all)
	for _, h := range all {
		h.take(m)
	}
}

// again is the owner's port of before, or the same one opened again. s.mu is held.
func (s *Server) again(who opener, b Binding) (*held, error) {
	for _, h := range s.held[who.owner] {
		if h.place() == b.place() && h.ContainerPort == b.ContainerPort && h.Count == b.Count {
			h.lead(b.ContainerIP)
			return h, nil
		}
	}
	if b.Count > 0 {
		return &held{Binding: b, owner: who.owner}, nil
	}
	return s.rebind(who, b)
}

// dropStray makes the server whole: who is behind a door is among what its owner
// holds, and the other way round. s.mu is held.
func (s *Server) dropStray() {
	for _, d := range s.doors {
		for _, h := range d.all() {
			if !slices.Contains(s.held[h.owner], h) {
				s.shut(h)
			}
		}
	}
	for owner, all := range s.held {
		all = slices.DeleteFunc(slices.Clone(all), func(h *held) bool { return h.door != nil && !h.door.has(h) })
		s.put(opener{owner, s.members[owner]}, nil, all)
	}
}

// shut closes a port, and what is connected. s.mu is held.
func (s *Server) shut(h *held) {
	if err := s.leave(h); err != nil {
		s.log.Error("close", "port", h.HostPort, "error", err)
	}
	h.cut()
}

// rebind opens the socket of a port that was held, as it was. s.mu is held.
func (s *Server) rebind(who opener, b Binding) (*held, error) {
	p := Port{Proto: b.Proto, ContainerIP: b.ContainerIP, ContainerPort: b.ContainerPort, InName: b.InName}
	return s.bind(context.Background(), who, p, b.HostIP, b.HostPort)
}
