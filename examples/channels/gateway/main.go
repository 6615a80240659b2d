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
	"slices"
	"syscall"
	"time"

	"github.com/berth-engine/berth/examples/channels/service"
)

// Result is what the gateway prints.
type Result struct {
	Channel string  `json:"channel"`
	Sent    int     `json:"sent"`
	Lost    int     `json:"lost"`
	Doubled int     `json:"doubled"`
	Wrong   int     `json:"wrong"` // came back without what each service adds
	Median  float64 `json:"median_ms"`
	P99     float64 `json:"p99_ms"`
	Rate    float64 `json:"messages_s"`
}

const atOnce = 64               // messages under way, for the rate
const giveUp = 10 * time.Second // nothing has come: what is missing is lost

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := service.Open(ctx, "gateway")
	if err != nil {
		service.Fail(err)
	}
	g := gateway{ctx: ctx, c: c, came: map[int]int{}}
	var single, many int
	if n, err := fmt.Sscan(os.Getenv("SINGLE")+" "+os.Getenv("MANY"), &single, &many); n != 2 {
		service.Fail(fmt.Errorf("SINGLE and MANY say how many messages to send: %w", err))
	}
	g.begin()
	for range single {
		g.run(1, 1)
	}
	trips := slices.Sorted(slices.Values(g.trips))
	begin := time.Now()
	g.run(many, atOnce)
	r := Result{Channel: os.Getenv("CHANNEL"), Sent: single + many, Wrong: g.wrong, Rate: float64(many) / g.last.Sub(begin).Seconds()}
	if n := len(trips); n > 0 {
		r.Median, r.P99 = trips[n/2].Seconds()*1000, trips[n*99/100].Seconds()*1000
	}
	r.Lost = r.Sent - len(g.came)
	for _, times := range g.came {
		r.Doubled += times - 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		service.Fail(err)
	}
}
