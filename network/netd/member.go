package netd

import "cmp"

// Turn says whether one who shares ports gets what comes anew. What is connected
// stays so.
type Turn string

const (
	// Ready gets its share.
	Ready Turn = ""
	// Waiting gets nothing while another is Ready; see Member.Came.
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
	// Came is for who waits and has yet to start: a number that is larger for who
	// came later. What comes is for who waits without one; if there is nobody, for
	// the first that came. 0: it has started, whether it can serve or not.
	Came uint64 `json:"came,omitempty"`
}

// rank is less for who is asked sooner; false: for who is not asked at all.
func (m Member) rank() (rank [2]uint64, asked bool) {
	switch m.Turn {
	case Ready:
		return rank, true
	case Waiting:
		return [2]uint64{1, m.Came}, true
	}
	return rank, false
}

// Next picks those of all who get what comes anew: who is ready; if nobody is,
// who waits and has started; and if nobody has, the first that came. One that
// starts does not listen yet, and would refuse; the first may be serving already,
// and not have been seen to.
func Next[T any](all []T, member func(T) Member) []T {
	var out []T
	var least [2]uint64
	for _, x := range all {
		rank, asked := member(x).rank()
		if !asked {
			continue
		}
		order := cmp.Or(cmp.Compare(rank[0], least[0]), cmp.Compare(rank[1], least[1]))
		if len(out) == 0 || order < 0 {
			out, least = out[:0], rank
		} else if order > 0 {
			continue
		}
		out = append(out, x)
	}
	return out
}

// turn has an owner take its turn or not from now on; it stays in its share.
func (s *Server) turn(owner string, to Member) *response {
	if !to.Turn.Valid() {
		return &response{Error: "unknown turn " + string(to.Turn)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, ok := s.held[owner]
	if !ok {
		return &response{}
	}
	to.Share = s.members[owner].Share
	s.join(owner, to)
	for _, h := range all {
		h.take(to)
	}
	return &response{}
}

// take has h take its turn or not.
func (h *held) take(m Member) {
	if h.door == nil {
		return
	}
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	h.member = m
}

// join notes what an owner is to others. Server.mu is held.
func (s *Server) join(owner string, m Member) {
	if m == (Member{}) {
		delete(s.members, owner)
		return
	}
	s.members[owner] = m
}

// Turn has an owner take its turn or not from now on, as m says; it stays in the
// share that it is in. It is no error if it holds nothing.
func (c *Client) Turn(owner string, m Member) error {
	_, err := c.call(&request{Op: opTurn, Owner: owner, Member: &Member{Turn: m.Turn, Came: m.Came}})
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
