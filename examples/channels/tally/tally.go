// Package tally counts the messages that come back to the gateway, and says what
// became of them.
package tally

import (
	"math"
	"slices"
	"time"

	"github.com/berth-engine/berth/examples/channels/channel"
)

// Result is what the gateway prints.
type Result struct {
	Channel string    `json:"channel"`
	Sent    int       `json:"sent"`
	Lost    int       `json:"lost"`
	Doubled int       `json:"doubled"`
	Wrong   int       `json:"wrong"` // came back without what each service adds
	Median  float64   `json:"median_ms"`
	P99     float64   `json:"p99_ms"`
	Rate    float64   `json:"messages_s"`
	Trips   []float64 `json:"round_trips_ms"` // of those that were sent one at a time
	Many    int       `json:"many"`           // how many were then sent at once
	Took    float64   `json:"many_ms"`        // how long until the last of them was back
}

// Tally counts; the zero value has seen nothing.
type Tally struct {
	Last  time.Time // when the last came
	Trips []time.Duration
	came  map[int]int // how often, by number
	wrong int
}

// Add tells whether the message is one more that is back.
func (t *Tally) Add(m channel.Message) bool {
	if m.Seq < 0 {
		return false
	}
	if t.came == nil {
		t.came = map[int]int{}
	}
	t.came[m.Seq]++
	if t.came[m.Seq] > 1 {
		return false
	}
	if m.Price == 0 || !m.Paid || m.Entry == 0 {
		t.wrong++
	}
	t.Last = time.Now()
	t.Trips = append(t.Trips, t.Last.Sub(m.Sent))
	return true
}

// Result is that of single messages, which took trips when they came back, and many at once from
// begin on.
func (t *Tally) Result(name string, trips []time.Duration, single, many int, begin time.Time) Result {
	took := t.Last.Sub(begin)
	r := Result{
		Channel: name, Sent: single + many, Wrong: t.wrong, Many: many,
		Took: milliseconds(took), Rate: float64(many) / took.Seconds(),
	}
	for _, trip := range trips {
		r.Trips = append(r.Trips, milliseconds(trip))
	}
	if sorted, n := slices.Sorted(slices.Values(r.Trips)), len(r.Trips); n > 0 {
		r.Median, r.P99 = sorted[n/2], sorted[n*99/100]
	}
	r.Lost = r.Sent - len(t.came)
	for _, times := range t.came {
		r.Doubled += times - 1
	}
	return r
}

// milliseconds are to the microsecond.
func milliseconds(d time.Duration) float64 { return math.Round(float64(d)/1000) / 1000 }
