package netd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/berth-engine/berth/kernel/socket"
)

// Server holds the sockets. Make it with NewServer.
type Server struct {
	log  *slog.Logger
	mu   sync.Mutex
	held map[string][]*held // by owner; note changes it
	// runs are those of held without sockets: each port that is opened is compared
	// with them, and the others may be thousands.
	runs map[string][]*held
	// members are those owners that are more to others than the zero Member.
	members map[string]Member
	doors   map[place]*door
	wg      sync.WaitGroup // the sockets' relays
	quit    context.CancelFunc
	heir    bool // a successor has the sockets
	names
	ways  ways
	spare spare
}

// NewServer returns a server that holds nothing.
func NewServer(log *slog.Logger) *Server {
	s := &Server{log: log, held: map[string][]*held{}, runs: map[string][]*held{}, members: map[string]Member{}, doors: map[place]*door{}}
	s.spare.set()
	s.resolvers = map[string]*resolving{}
	return s
}

// Run serves clients that connect to l until ctx ends, a client asks to quit,
// or a successor took over; Superseded tells. Only root is served. It closes l
// and everything it holds. What is spliced when a successor takes over is
// served to its end.
func (s *Server) Run(ctx context.Context, l *net.UnixListener) error {
	defer func() {
		if s.visitor != nil {
			s.visitor.Close()
		}
		s.ways.close()
	}()
	ctx, s.quit = context.WithCancel(ctx)
	defer s.quit()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var clients sync.WaitGroup
	defer s.wg.Wait()
	defer s.drop()
	defer clients.Wait()
	for {
		c, err := l.AcceptUnix()
		if ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors: others must end first
			continue
		}
		clients.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			if err := s.serve(ctx, c); err != nil && ctx.Err() == nil {
				s.log.Error("client", "error", err)
			}
		})
	}
}

func (s *Server) serve(ctx context.Context, c *net.UnixConn) error {
	uid, err := socket.PeerUID(c)
	if err != nil {
		return err
	}
	if uid != 0 {
		return fmt.Errorf("user %d may not speak to netd", uid)
	}
	for {
		var req request
		if err := readFrame(c, &req); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		again, err := s.request(ctx, c, &req)
		if err != nil || !again {
			return err
		}
	}
}

// request serves one request; false: it was the last of its connection. A panic
// in the middle of an answer that has descriptors ends the connection, because
// nobody knows what was sent.
func (s *Server) request(ctx context.Context, c *net.UnixConn, req *request) (again bool, err error) {
	defer s.contain(req.Op, func() { again, err = false, fmt.Errorf("%s was broken off", req.Op) })
	switch req.Op {
	case opHandover:
		return false, s.handover(c)
	case opLend:
		return true, s.lend(c, req.Owner)
	case opCopies:
		return true, s.copies(c, req.Owner)
	}
	files, err := receive(c, req.follow())
	if err != nil {
		return false, err
	}
	r := s.contained(ctx, req, files)
	if err := writeFrame(c, r); err != nil {
		return false, err
	}
	if req.Op == opQuit && r.Error == "" {
		s.quit()
		return false, nil
	}
	return true, nil
}

// contained is answer, or an error and everything as it was if answer panics.
func (s *Server) contained(ctx context.Context, req *request, files []*os.File) (r *response) {
	was, m := s.before(req)
	defer s.contain(req.Op, func() {
		closeFiles(files)
		s.putBack(req.Owner, was, m)
		r = internal(req.Op)
	})
	return s.answer(ctx, req, files)
}

// follow is how many descriptors come after a request.
func (r *request) follow() int {
	switch {
	case r.Op == opResolve && r.Sockets:
		return 2
	case r.Op == opRestore:
		return sockets(r.Keep)
	}
	return 0
}

func (s *Server) answer(ctx context.Context, req *request, files []*os.File) *response {
	switch req.Op {
	case opHello:
		return &response{Version: min(Version, max(req.Version, 1)), Pid: os.Getpid()}
	case opReserve:
		return s.reserve(ctx, req.opener(), req.Ports)
	case opChange:
		return s.change(ctx, req.opener(), req.Keep, req.Ports)
	case opLead:
		return s.lead(req.Owner, req.To)
	case opTurn:
		return s.turn(req.Owner, req.member())
	case opCount:
		return s.connected(req.Owner)
	case opRelease:
		return s.release(req.Owner)
	case opRestore:
		return s.restore(req.opener(), req.Keep, files)
	case opList:
		held, members := s.list()
		return &response{Held: held, Members: members}
	case opResolve:
		return s.resolve(req.Sandbox, files)
	case opUnresolve:
		return s.unresolve(req.Owner)
	case opRecord, opUnrecord:
		return s.record(req)
	case opNames:
		return s.all()
	case opQuit:
		if held, _ := s.list(); len(held) > 0 || len(s.all().Sandboxes) > 0 {
			return &response{Error: "ports are held"}
		}
		return &response{}
	default:
		return &response{Error: fmt.Sprintf("unknown operation %q", req.Op)}
	}
}

// reserve holds all ports or none.
func (s *Server) reserve(ctx context.Context, who opener, ports []Port) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := who.owner
	if owner == "" || s.held[owner] != nil {
		return &response{Error: fmt.Sprintf("owner %q holds ports already", owner)}
	}
	got, err := s.holdAll(ctx, who, ports)
	if err != nil {
		return s.refuse(err)
	}
	s.add(who, got)
	return &response{Bindings: bindings(got)}
}

// add starts serving sockets; s.mu is held.
func (s *Server) add(who opener, sockets []*held) {
	s.note(who.owner, sockets)
	s.join(who.owner, who.Member)
	for _, h := range sockets {
		s.answerAt(h)
	}
}

// note makes these what an owner holds; s.mu is held.
func (s *Server) note(owner string, all []*held) {
	s.held[owner] = all
	runs := slices.DeleteFunc(slices.Clone(all), func(h *held) bool { return h.Count == 0 })
	if delete(s.runs, owner); len(runs) > 0 {
		s.runs[owner] = runs
	}
}

// refuse explains an error of hold; s.mu is held.
func (s *Server) refuse(err error) *response {
	var b *bindError
	if !errors.As(err, &b) {
		return &response{Error: err.Error()}
	}
	r := &RefusalError{Port: b.binding, Text: socket.Reason(err)}
	r.Allocated = socket.InUse(err) && (b.twice || s.conflicts(b.binding))
	if socket.InUse(err) && !r.Allocated {
		if who := socket.InTheWay(b.binding.Proto, netip.AddrPortFrom(b.binding.HostIP, b.binding.HostPort)); who != "" {
			r.Text += " by " + who
		}
	}
	return &response{Refusal: r}
}

// conflicts tells whether a socket that we hold stands in the way.
func (s *Server) conflicts(b Binding) bool {
	for _, sockets := range s.held {
		if slices.ContainsFunc(sockets, func(h *held) bool { return h.conflicts(b) }) {
			return true
		}
	}
	return false
}

// conflicts tells whether h and b cannot both be bound.
func (h *held) conflicts(b Binding) bool {
	same := h.spans(b.HostPort) && h.Proto == b.Proto && h.HostIP.Is4() == b.HostIP.Is4()
	return same && (h.HostIP == b.HostIP || h.HostIP.IsUnspecified() || b.HostIP.IsUnspecified())
}

func (s *Server) release(owner string) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeAll(s.held[owner])
	s.cutAll(s.held[owner])
	delete(s.held, owner)
	delete(s.runs, owner)
	delete(s.members, owner)
	return &response{}
}

// Superseded tells, after Run, that a successor has the sockets.
func (s *Server) Superseded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heir
}

func (s *Server) list() (map[string][]Binding, map[string]Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]Binding{}
	for owner, sockets := range s.held {
		all[owner] = bindings(sockets)
	}
	return all, maps.Clone(s.members)
}

func (s *Server) drop() {
	s.mu.Lock()
	owners := slices.Collect(maps.Keys(s.held))
	s.mu.Unlock()
	for _, owner := range owners {
		s.release(owner)
	}
	for _, sandbox := range s.all().Sandboxes {
		s.unresolve(sandbox.ID)
	}
}

func bindings(sockets []*held) []Binding {
	out := make([]Binding, len(sockets))
	for i, h := range sockets {
		out[i] = h.Binding
	}
	return out
}
