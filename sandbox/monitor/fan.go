package monitor

import (
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// window is how many bytes wait for a client before the container does.
	window = 256 << 10
	// keepBuffer is the largest buffer that an idle client keeps.
	keepBuffer = 32 << 10
	frameHead  = 8
	// piece is how much is sent at once, so that it can be seen that a client takes some.
	piece = 64 << 10
	// When all is over, a client that takes nothing for clientStalls is not waited for
	// any longer, and none for longer than clientMost.
	clientStalls = 5 * time.Second
	clientMost   = 5 * time.Minute
)

// fan hands output to the attached clients.
type fan struct {
	mu      sync.Mutex
	room    sync.Cond // a client took bytes, or left
	clients []*client
	limit   int
	ended   bool // no more output will come
}

func newFan() *fan {
	f := &fan{limit: window}
	f.room.L = &f.mu
	return f
}

// A client is the output side of one attached connection.
type client struct {
	fan     *fan
	conn    *Conn
	streams [3]bool
	more    sync.Cond // pending grew, or the fan ended
	pending []byte    // framed
	sending int       // bytes of the write under way
	taken   int       // pieces that were sent
	gone    bool
	done    chan struct{} // closed when the output side is over
}

// add attaches a client; it sees every byte from now on.
func (f *fan) add(conn *Conn, a Attach) *client {
	c := &client{fan: f, conn: conn, streams: [3]bool{1: a.Stdout, 2: a.Stderr}, done: make(chan struct{})}
	c.more.L = &f.mu
	f.mu.Lock()
	f.clients = append(f.clients, c)
	f.mu.Unlock()
	return c
}

// output gives data to all clients of stream, waiting for those that are
// behind.
func (f *fan) output(stream byte, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.clients) == 0 {
		return
	}
	for _, c := range slices.Clone(f.clients) {
		if !c.streams[stream] {
			continue
		}
		for !c.gone && len(c.pending)+c.sending > 0 && len(c.pending)+c.sending+frameHead+len(data) > f.limit {
			f.room.Wait()
		}
		if c.gone {
			continue
		}
		n := len(data)
		c.pending = append(c.pending, stream, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		c.pending = append(c.pending, data...)
		c.more.Signal()
	}
}

// lift lets the last output, no more than pipes can hold, pass even to clients
// that have stalled, so that they cannot delay the exit.
func (f *fan) lift() {
	f.mu.Lock()
	f.limit = math.MaxInt
	f.mu.Unlock()
	f.room.Broadcast()
}

// end tells the clients that all has been output.
func (f *fan) end() {
	f.mu.Lock()
	f.ended = true
	for _, c := range f.clients {
		c.more.Signal()
	}
	f.mu.Unlock()
}

// flush waits until the clients have taken all that was output, or left; not for
// one that takes nothing for as long as stalls, nor longer than most.
func (f *fan) flush(stalls, most time.Duration) {
	until := time.Now().Add(most)
	f.mu.Lock()
	clients := slices.Clone(f.clients)
	f.mu.Unlock()
	for _, c := range clients {
		c.flush(stalls, until)
	}
}

func (c *client) flush(stalls time.Duration, until time.Time) {
	for taken := -1; c.takes(&taken) && time.Now().Before(until); {
		select {
		case <-c.done:
			return
		case <-time.After(stalls):
		}
	}
}

// takes tells whether a client has taken something since taken was what it is.
func (c *client) takes(taken *int) bool {
	c.fan.mu.Lock()
	defer c.fan.mu.Unlock()
	before := *taken
	*taken = c.taken
	return c.taken != before
}

// run sends what is pending until the end of all output or of the client. At
// the end of the output the sending side of the connection is shut.
func (c *client) run() {
	defer close(c.done)
	var spare []byte
	for {
		b, ok := c.take(spare)
		if !ok {
			break
		}
		if c.write(b) != nil {
			break // it left; the other half notices too
		}
		spare = b[:0]
		if cap(spare) > keepBuffer {
			spare = nil
		}
	}
	_ = c.conn.CloseWrite() // it may have left
	c.leave()
}

// write sends bytes, piece by piece.
func (c *client) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), piece)
		if _, err := c.conn.f.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
		c.fan.mu.Lock()
		c.taken++
		c.fan.mu.Unlock()
	}
	return nil
}

// take waits for bytes to send and exchanges buffers; false: it is over.
func (c *client) take(spare []byte) ([]byte, bool) {
	c.fan.mu.Lock()
	defer c.fan.mu.Unlock()
	c.sending = 0
	c.fan.room.Broadcast()
	for len(c.pending) == 0 && !c.fan.ended && !c.gone {
		c.more.Wait()
	}
	if c.gone || len(c.pending) == 0 {
		return nil, false
	}
	b := c.pending
	c.pending, c.sending = spare, len(b)
	return b, true
}

// leave detaches the client and frees whoever waited for it.
func (c *client) leave() {
	c.fan.mu.Lock()
	c.gone, c.pending = true, nil
	c.fan.clients = slices.DeleteFunc(c.fan.clients, func(o *client) bool { return o == c })
	c.more.Signal()
	c.fan.mu.Unlock()
	c.fan.room.Broadcast()
}
