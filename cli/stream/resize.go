package stream

import (
	"context"
	"os"
	"os/signal"
	"time"

	mobysignal "github.com/moby/sys/signal"
)

// FollowSize gives a container's terminal the size of ours, now and after
// every change of the window, until ctx ends. The first try may come before
// the container is ready, so it is repeated for about half a second.
func (s *IO) FollowSize(ctx context.Context, resize func(ctx context.Context, rows, cols uint) error) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, mobysignal.SIGWINCH)
	defer signal.Stop(changed)
	try := func() error {
		rows, cols := s.Size()
		if rows == 0 && cols == 0 {
			return nil
		}
		return resize(ctx, rows, cols)
	}
	for n := 1; try() != nil && n <= 10; n++ {
		select {
		case <-time.After(time.Duration(n) * 10 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
	for {
		select {
		case <-changed:
			// A failure here means that the container has ended; the
			// attachment notices.
			_ = try()
		case <-ctx.Done():
			return
		}
	}
}
