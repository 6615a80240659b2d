package container

import (
	"errors"
	"testing"
	"time"
)

// TestAwaitListening: when a run is seen to listen, and when its start is over
// although it is not, by a clock of its own.
func TestAwaitListening(t *testing.T) {
	gone := errors.New("no such process")
	never := time.Hour
	for _, c := range []struct {
		name      string
		one, all  time.Duration // from when on it listens at one port, at both
		err       error         // of all looks
		ended     time.Duration
		want      bool
		waited    time.Duration // at least
		overAfter time.Duration // when its start is over; 0: not before
	}{
		{name: "at once", ended: never, want: true},
		{name: "soon", one: time.Second, all: time.Second, ended: never, want: true, waited: time.Second},
		{name: "at one alone", all: never, ended: never, want: true, waited: time.Second},
		{name: "slow", one: 2 * startIn, all: 2 * startIn, ended: never, want: true, waited: 2 * startIn, overAfter: startIn},
		{name: "never", one: never, all: never, ended: 5 * startIn, waited: 5 * startIn, overAfter: startIn},
		{name: "ends before", one: never, all: never, ended: startIn / 2, waited: startIn / 2},
		{name: "cannot be looked at", err: gone, ended: startIn / 2, waited: startIn / 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var now time.Duration
			settled := make(chan struct{})
			passed := make(chan time.Time)
			close(passed)
			s := &Service{}
			s.clock.after = func(d time.Duration) <-chan time.Time {
				if now += d; now >= c.ended {
					close(settled)
					return nil
				}
				return passed
			}
			look := func() (int, error) {
				switch {
				case now >= c.all:
					return 2, c.err
				case now >= c.one:
					return 1, c.err
				}
				return 0, c.err
			}
			var over []time.Duration
			got := s.awaitListening(t.Context(), settled, 2, look, func() { over = append(over, now) })
			if got != c.want || now < c.waited || now > c.waited+2*lookLast {
				t.Errorf("%v after %v, want %v after %v", got, now, c.want, c.waited)
			}
			switch {
			case c.overAfter == 0 && len(over) == 0:
			case c.overAfter > 0 && len(over) == 1 && over[0] >= c.overAfter && over[0] <= c.overAfter+lookLast:
			default:
				t.Errorf("its start was over at %v, want %v", over, c.overAfter)
			}
		})
	}
}
