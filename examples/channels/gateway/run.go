package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/berth-engine/berth/examples/channels/channel"
	"github.com/berth-engine/berth/examples/channels/service"
)

// gateway counts what comes back.
type gateway struct {
	ctx   context.Context //nolint:containedctx // of the program
	c     channel.Channel
	sent  int
	came  map[int]int // how often, by number
	wrong int
	trips []time.Duration
	last  time.Time // when the last came
}

// begin sends messages that do not count until one is back: all are up.
func (g *gateway) begin() {
	for n := -1; g.ctx.Err() == nil; n-- {
		g.send(n)
		select {
		case <-g.c.Inbox():
			return
		case <-time.After(time.Second):
		}
	}
}

func (g *gateway) send(seq int) {
	m := channel.Message{Seq: seq, Sent: time.Now(), Item: []string{"anchor", "rope", "lamp"}[uint(seq)%3]}
	if err := service.Send(g.ctx, g.c, "price", m); err != nil {
		fmt.Fprintf(os.Stderr, "message %d: %v\n", seq, err)
	}
}

// run sends n messages, no more than atOnce of which are under way, and waits for
// them all, or until nothing comes any more.
func (g *gateway) run(n, atOnce int) {
	first, back := g.sent, 0
	for back < n && g.ctx.Err() == nil {
		for g.sent-first < n && g.sent-first-back < atOnce {
			g.send(g.sent)
			g.sent++
		}
		select {
		case m := <-g.c.Inbox():
			if g.count(m) {
				back++
			}
		case <-time.After(giveUp):
			return
		case <-g.ctx.Done():
			return
		}
	}
}

// count tells whether the message is one more that is back.
func (g *gateway) count(m channel.Message) bool {
	if m.Seq < 0 {
		return false
	}
	g.came[m.Seq]++
	if g.came[m.Seq] > 1 {
		return false
	}
	if m.Price == 0 || !m.Paid || m.Entry == 0 {
		g.wrong++
	}
	g.last = time.Now()
	g.trips = append(g.trips, g.last.Sub(m.Sent))
	return true
}
