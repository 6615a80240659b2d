package channel

import (
	"context"
	"encoding/json"
	"net"
	"sync"
)

// tcp is a mesh: every service listens, and keeps a connection to each it sends
// to. A message on it is neither lost nor doubled while both ends live.
type tcp struct {
	inbox
	mu    sync.Mutex
	peers map[string]*json.Encoder
}

const tcpPort = "7000"

func openTCP(ctx context.Context) (*tcp, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+tcpPort)
	if err != nil {
		return nil, err
	}
	c := &tcp{inbox: newInbox(), peers: map[string]*json.Encoder{}}
	context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.receive(ctx, conn)
		}
	}()
	return c, nil
}

func (c *tcp) receive(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	for d := json.NewDecoder(conn); ; {
		var m Message
		if d.Decode(&m) != nil {
			return
		}
		c.put(ctx, m)
	}
}

func (c *tcp) Send(ctx context.Context, to string, m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peers[to] == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(to, tcpPort))
		if err != nil {
			return err
		}
		c.peers[to] = json.NewEncoder(conn)
	}
	err := c.peers[to].Encode(m)
	if err != nil {
		delete(c.peers, to)
	}
	return err
}
