package stream

import (
	"context"
	"os"
	"os/signal"

	mobysignal "github.com/moby/sys/signal"
)

// Signals catches every signal that can be passed to a container. They queue
// from the moment of the call, so none is lost between a container's creation
// and its start.
type Signals struct{ c chan os.Signal }

// CatchSignals starts to catch. Stop must be called.
func CatchSignals() *Signals {
	s := &Signals{c: make(chan os.Signal, 128)}
	signal.Notify(s.c)
	return s
}

// Stop gives the signals their usual effect back.
func (s *Signals) Stop() { signal.Stop(s.c) }

// Forward passes signals on by name until ctx ends. Those that concern this
// process only are dropped: children, broken pipes, the Go scheduler's own
// SIGURG, and the window's size, which travels by FollowSize (some servers
// take SIGWINCH for a request to shut down).
func (s *Signals) Forward(ctx context.Context, kill func(ctx context.Context, name string) error) {
	for {
		select {
		case sig := <-s.c:
			if name := forwardName(sig); name != "" {
				// The container may have ended meanwhile; nobody to tell.
				_ = kill(ctx, name)
			}
		case <-ctx.Done():
			return
		}
	}
}

func forwardName(sig os.Signal) string {
	best := ""
	for name, n := range mobysignal.SignalMap {
		if n != sig || name == "IOT" { // IOT is ABRT's name of old
			continue
		}
		// Some numbers have two names; take the shorter, then the first.
		if best == "" || len(name) < len(best) || len(name) == len(best) && name < best {
			best = name
		}
	}
	switch best {
	case "CHLD", "CLD", "PIPE", "URG", "WINCH":
		return ""
	}
	return best
}
