package netd

import "slices"

// Turn says whether one who shares ports gets what comes anew. What is connected
// stays so.
type Turn string

const (
	// Ready gets its share.
	Ready Turn = ""
	// Waiting gets nothing while another is Ready.
	Waiting Turn = "waiting"
	// Drained gets nothing.
	Drained Turn = "drained"
)

// Valid tells whether t is one of these.
func (t Turn) Valid() bool { return t == Ready || t == Waiting || t == Drained }

// Member is what an owner is to others.
type Member struct {
	// Share: owners of the same share may hold the same ports, and what comes is
	// spread over them. "": no port is shared.
	Share string `json:"share,omitempty"`
	Turn  Turn   `json:"turn,omitempty"`
}

// Next picks those of all who get what comes anew: who is ready, or if nobody
// is, who waits.
func Next[T any](all []T, turn func(T) Turn) []T {
	for _, who := range []Turn{Ready, Waiting} {
		out := slices.DeleteFunc(slices.Clone(all), func(x T) bool { return turn(x) != who })
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// turn has an owner take its turn or not from now on.
func (s *Server) turn(owner string, t Turn) *response {
	if !t.Valid() {
		return &response{Error: "unknown turn " + string(t)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, ok := s.held[owner]
	if !ok {
		return &response{}
	}
	m := s.members[owner]
	m.Turn = t
	s.join(owner, m)
	for _, h := range all {
		h.take(t)
	}
	return &response{}
}

// take has h take its turn or not.
func (h *held) take(t Turn) {
	if h.door == nil {
		return
	}
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	h.turn = t
}

// join notes what an owner is to others. Server.mu is held.
func (s *Server) join(owner string, m Member) {
	if m == (Member{}) {
		delete(s.members, owner)
		return
	}
	s.members[owner] = m
}

// Turn has an owner take its turn or not from now on. It is no error if it
// holds nothing.
func (c *Client) Turn(owner string, t Turn) error {
	_, err := c.call(&request{Op: opTurn, Owner: owner, Member: &Member{Turn: t}})
	return err
}

// connected counts the TCP connections that are passed on for an owner.
func (s *Server) connected(owner string) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, h := range s.held[owner] {
		n += h.spliced.count()
	}
	return &response{Count: n / 2} // each has two ends
}

// Connections is how many TCP connections are passed on for an owner.
func (c *Client) Connections(owner string) (int, error) {
	r, err := c.call(&request{Op: opCount, Owner: owner})
	if err != nil {
		return 0, err
	}
	return r.Count, nil
}
