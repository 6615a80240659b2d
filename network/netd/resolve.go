package netd

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/socket"
	"github.com/berth-engine/berth/network/dns"
)

// names is the part of a Server that answers questions about names.
type names struct {
	records   dns.Names
	resolvers map[string]*resolving // by container; under the server's mutex
	visitor   *ns.Visitor           // nil: not needed so far
}

// resolving is one container's resolver.
type resolving struct {
	*dns.Resolver
	packets  *net.UDPConn
	listener *net.TCPListener
	space    *os.File // the container's network namespace
	end      context.CancelFunc
}

// resolve starts a resolver on the sockets, or changes one that is there.
func (s *Server) resolve(sandbox *dns.Sandbox, files []*os.File) *response {
	if sandbox == nil || sandbox.ID == "" {
		closeFiles(files)
		return &response{Error: "resolve without a container"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heir {
		closeFiles(files)
		return &response{Error: "a successor has taken over"}
	}
	r := s.resolvers[sandbox.ID]
	if len(files) == 0 {
		if r == nil {
			return &response{Missing: true}
		}
		r.Set(*sandbox)
		return &response{}
	}
	if r != nil {
		r.end()
		delete(s.resolvers, sandbox.ID)
	}
	if err := s.serveNames(*sandbox, files); err != nil {
		return &response{Error: socket.Reason(err)}
	}
	return &response{}
}

// serveNames starts a resolver; s.mu is held. The files are used up.
func (s *Server) serveNames(sandbox dns.Sandbox, files []*os.File) error {
	defer closeFiles(files)
	if s.visitor == nil {
		var err error
		if s.visitor, err = ns.NewVisitor(); err != nil {
			return err
		}
	}
	r := &resolving{}
	packets, err := net.FilePacketConn(files[0])
	if err != nil {
		return err
	}
	listener, err := net.FileListener(files[1])
	if err != nil {
		packets.Close()
		return err
	}
	var udp, tcp bool
	r.packets, udp = packets.(*net.UDPConn)
	r.listener, tcp = listener.(*net.TCPListener)
	if !udp || !tcp {
		err = os.ErrInvalid
	} else {
		r.space, err = ns.OfSocket(r.packets)
	}
	if err != nil {
		packets.Close()
		listener.Close()
		return err
	}
	dial := func(ctx context.Context, network string, server dns.Server) (net.Conn, error) {
		return s.dialFrom(ctx, r.space, network, server)
	}
	r.Resolver = dns.NewResolver(&s.records, sandbox, dial, func(p any) { s.crashed("a question about a name", p) })
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	s.resolvers[sandbox.ID] = r
	s.wg.Go(func() {
		defer s.contain("a resolver", nothing)
		defer r.space.Close()
		r.Serve(ctx, r.packets, r.listener)
	})
	return nil
}

// dialFrom connects to a name server as the container would, whose firewall and
// routes are to be heard; to one on the host's loopback or own link, as the host.
func (s *Server) dialFrom(ctx context.Context, space *os.File, network string, server dns.Server) (c net.Conn, err error) {
	var d net.Dialer
	if a := server.Addr.Addr(); server.Host && (a.IsLoopback() || a.IsLinkLocalUnicast()) {
		return d.DialContext(ctx, network, server.Addr.String())
	}
	// Nothing of it waits: a thread for each would let a container have thousands.
	err = s.visitor.Do(space, func() (err error) {
		if network == "tcp" {
			c, err = socket.ConnectTCP(server.Addr)
			return err
		}
		udp, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server.Addr))
		if err == nil {
			c = udp
		}
		return err
	})
	return c, err
}

func (s *Server) unresolve(id string) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.resolvers[id]; r != nil {
		r.end()
		delete(s.resolvers, id)
	}
	return &response{}
}

func (s *Server) record(req *request) *response {
	r := req.Record
	if r == nil || r.Network == "" || r.Endpoint == "" {
		return &response{Error: "record without a network or an endpoint"}
	}
	if slices.ContainsFunc(r.Addresses, func(a netip.Addr) bool { return !a.IsValid() }) {
		return &response{Error: "record with an address that is none"}
	}
	if req.Op == opUnrecord {
		s.records.Drop(r.Network, r.Endpoint)
	} else {
		s.records.Set(*r)
	}
	return &response{}
}

// all tells which resolvers and records there are.
func (s *Server) all() *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known()
}

// known is all, with s.mu held.
func (s *Server) known() *response {
	r := &response{Records: s.records.All()}
	for _, x := range s.resolvers {
		r.Sandboxes = append(r.Sandboxes, x.Sandbox())
	}
	slices.SortFunc(r.Sandboxes, func(a, b dns.Sandbox) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(r.Records, func(a, b dns.Record) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return r
}

// lend sends copies of a resolver's sockets to the engine.
func (s *Server) lend(c *net.UnixConn, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.resolvers[id]
	if err := writeFrame(c, &response{Missing: r == nil}); err != nil || r == nil {
		return err
	}
	return r.give(c)
}

// give sends the resolver's sockets to who is to have them, too.
func (r *resolving) give(c *net.UnixConn) error {
	packets, err := r.packets.File()
	if err != nil {
		return err
	}
	defer packets.Close()
	listener, err := r.listener.File()
	if err != nil {
		return err
	}
	defer listener.Close()
	return errors.Join(socket.SendFile(c, packets), socket.SendFile(c, listener))
}
