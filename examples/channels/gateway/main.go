// Command gateway sends orders on their way through the four other services and
// measures how they come back: one at a time for the round trip, many at once for
// how many a second there can be. It prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/berth-engine/berth/examples/channels/channel"
	"github.com/berth-engine/berth/examples/channels/service"
	"github.com/berth-engine/berth/examples/channels/tally"
)

const atOnce = 64               // messages under way, for the rate
const giveUp = 10 * time.Second // nothing has come: what is missing is lost

// gateway counts what comes back.
type gateway struct {
	ctx  context.Context //nolint:containedctx // of the program
	c    channel.Channel
	sent int
	back tally.Tally
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := service.Open(ctx, "gateway")
	if err != nil {
		service.Fail(err)
	}
	g := gateway{ctx: ctx, c: c}
	var single, many int
	if n, err := fmt.Sscan(os.Getenv("SINGLE")+" "+os.Getenv("MANY"), &single, &many); n != 2 {
		service.Fail(fmt.Errorf("SINGLE and MANY say how many messages to send: %w", err))
	}
	g.begin()
	for range single {
		g.run(1, 1)
	}
	trips := g.back.Trips
	begin := time.Now()
	g.run(many, atOnce)
	r := g.back.Result(os.Getenv("CHANNEL"), trips, single, many, begin)
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		service.Fail(err)
	}
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
			if g.back.Add(m) {
				back++
			}
		case <-time.After(giveUp):
			return
		case <-g.ctx.Done():
			return
		}
	}
}
