package metrics

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// bounds are the upper bounds of a histogram's buckets in seconds, those of
// Prometheus's clients.
var bounds = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Durations is a histogram of how long actions took, for each kind of action.
// The zero value is ready.
type Durations struct {
	mu    sync.Mutex
	kinds map[string]*histogram
}

type histogram struct {
	buckets [len(bounds)]uint64 // each with all below
	count   uint64
	sum     float64
}

// Observe counts one action.
func (d *Durations) Observe(action string, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.kinds[action]
	if h == nil {
		if d.kinds == nil {
			d.kinds = map[string]*histogram{}
		}
		h = &histogram{}
		d.kinds[action] = h
	}
	seconds := took.Seconds()
	for i, bound := range bounds {
		if seconds <= bound {
			h.buckets[i]++
		}
	}
	h.count++
	h.sum += seconds
}

// WriteTo writes it as a metric with the label action; nothing, if nothing was
// observed.
func (d *Durations) WriteTo(w *Writer, name, help string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.kinds) == 0 {
		return
	}
	w.Metric(name, "histogram", help)
	for _, action := range slices.Sorted(maps.Keys(d.kinds)) {
		h := d.kinds[action]
		for i, bound := range bounds {
			w.sample("_bucket", float64(h.buckets[i]), []string{"action", action, "le", strconv.FormatFloat(bound, 'g', -1, 64)})
		}
		w.sample("_bucket", float64(h.count), []string{"action", action, "le", "+Inf"})
		w.sample("_sum", h.sum, []string{"action", action})
		w.sample("_count", float64(h.count), []string{"action", action})
	}
}
