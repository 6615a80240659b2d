package sandbox

import (
	"testing"
	"time"

	"github.com/berth-engine/berth/sandbox/monitor"
)

// TestPoolGivesBack: monitors that were started ahead end while memory is short,
// and a launch is served nevertheless.
func TestPoolGivesBack(t *testing.T) {
	r := newOne(t, Options{Warm: 2})
	r.pool.short = func() bool { return true }
	ready, err := r.startMonitor()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := monitor.Pollable(ready.pidfd) // the pool closes its own
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	r.pool.put(ready)
	running(t, r)
	if err := monitor.EndedWithin(ours, answerWithin); err != nil {
		t.Error(err)
	}
	if n, _ := r.pool.state(); n != 0 {
		t.Errorf("%d monitors are kept while memory is short", n)
	}
	p, err := r.monitor()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.end(false); err != nil {
		t.Error(err)
	}
}

// TestPoolAsksSeldom: whether memory is short is not asked for each monitor.
func TestPoolAsksSeldom(t *testing.T) {
	n := 0
	p := &pool{short: func() bool { n++; return n > 1 }}
	for range 10 {
		if p.isShort() {
			t.Fatal("it is short at once")
		}
	}
	p.asked = time.Now().Add(-lookForMemory)
	if !p.isShort() || n != 2 {
		t.Errorf("asked %d times", n)
	}
}
