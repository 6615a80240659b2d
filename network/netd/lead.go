package netd

import (
	"fmt"
	"net/netip"
)

// lead has everything that owner holds lead to another address from now on. No
// socket is touched: at no moment is a port closed. What is connected stays so.
func (s *Server) lead(owner string, to netip.Addr) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, ok := s.held[owner]
	if !ok {
		return &response{Error: fmt.Sprintf("owner %q holds nothing", owner)}
	}
	for _, h := range all {
		h.lead(to)
	}
	return &response{Bindings: bindings(all)}
}

// lead changes where the socket leads. Server.mu is held.
func (h *held) lead(to netip.Addr) {
	h.leads.Lock()
	defer h.leads.Unlock()
	h.ContainerIP = to
}

// target is where the socket leads.
func (h *held) target() netip.Addr {
	h.leads.RLock()
	defer h.leads.RUnlock()
	return h.ContainerIP
}

// Lead has everything that owner holds lead to another address of the container,
// and returns what it holds then.
func (c *Client) Lead(owner string, to netip.Addr) ([]Binding, error) {
	r, err := c.call(&request{Op: opLead, Owner: owner, To: to})
	if err != nil {
		return nil, err
	}
	return r.Bindings, nil
}
