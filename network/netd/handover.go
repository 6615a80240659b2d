package netd

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"

	"github.com/berth-engine/berth/kernel/socket"
)

// handover gives every socket to the successor that asks for it, then ends
// this server. The successor is told what there is, then gets the descriptors
// one by one in the same order, and says that it has them all.
func (s *Server) handover(c *net.UnixConn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]Binding{}
	for owner, sockets := range s.held {
		all[owner] = bindings(sockets)
	}
	known := s.known()
	if err := writeFrame(c, &response{Version: Version, Held: all, Members: s.members, Sandboxes: known.Sandboxes, Records: known.Records}); err != nil {
		return err
	}
	for _, owner := range slices.Sorted(maps.Keys(s.held)) {
		if err := sendAll(c, s.held[owner]); err != nil {
			return err
		}
	}
	for _, sandbox := range known.Sandboxes {
		if err := s.resolvers[sandbox.ID].give(c); err != nil {
			return err
		}
	}
	var done request
	if err := readFrame(c, &done); err != nil {
		return fmt.Errorf("successor did not take over: %w", err)
	}
	s.heir = true
	s.quit()
	return nil
}

func (d *door) file() (*os.File, error) {
	if d.listener != nil {
		return d.listener.(*net.TCPListener).File()
	}
	return d.packets.(*net.UDPConn).File()
}

// TakeOver asks the server behind c for its sockets and serves them from now
// on. The old server serves the connections that it has to their end.
func (s *Server) TakeOver(c *net.UnixConn) error {
	if err := writeFrame(c, &request{Op: opHandover, Version: Version}); err != nil {
		return err
	}
	var r response
	if err := readFrame(c, &r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, owner := range slices.Sorted(maps.Keys(r.Held)) {
		var sockets []*held
		who := opener{owner, r.Members[owner]}
		for _, b := range r.Held[owner] {
			if b.Count > 0 {
				sockets = append(sockets, &held{Binding: b, owner: owner})
				continue
			}
			f, err := socket.ReceiveFile(c)
			if err != nil {
				return err
			}
			h, err := s.receive(who, b, f)
			f.Close()
			if err != nil {
				return err
			}
			sockets = append(sockets, h)
		}
		s.add(who, sockets)
	}
	for _, record := range r.Records {
		s.records.Set(record)
	}
	for _, sandbox := range r.Sandboxes {
		files, err := receive(c, 2)
		if err != nil {
			return err
		}
		if err := s.serveNames(sandbox, files); err != nil {
			return err
		}
	}
	return writeFrame(c, &request{Op: opHandover})
}

// receive takes descriptors that were sent one by one.
func receive(c *net.UnixConn, n int) ([]*os.File, error) {
	var out []*os.File
	for range n {
		f, err := socket.ReceiveFile(c)
		if err != nil {
			closeFiles(out)
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
