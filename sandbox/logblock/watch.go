package logblock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pollEvery is how often a follower looks when inotify is not to be had (the
// number of instances of a user is bounded, 128 by default).
const pollEvery = 200 * time.Millisecond

// A watch waits for changes below one directory.
type watch struct {
	f *os.File // inotify; nil: poll
}

func newWatch(dir string) *watch {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return &watch{}
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_DELETE_SELF|unix.IN_ONLYDIR); err != nil {
		_ = f.Close()
		return &watch{}
	}
	return &watch{f: f}
}

func (w *watch) close() error {
	if w.f == nil {
		return nil
	}
	return w.f.Close()
}

// wait returns at a change, at the deadline (if not zero), when done is
// closed, or with the context's error.
func (w *watch) wait(ctx context.Context, done <-chan struct{}, deadline time.Time) error {
	if w.f == nil {
		return poll(ctx, done)
	}
	if err := w.f.SetReadDeadline(deadline); err != nil {
		return fmt.Errorf("follow log: %w", err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
		case <-done:
		case <-stop:
			return
		}
		_ = w.f.SetReadDeadline(time.Unix(1, 0)) // wakes the read below
	}()
	var events [4096]byte
	_, err := w.f.Read(events[:])
	close(stop)
	<-stopped
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("follow log: %w", err)
	}
	return ctx.Err()
}

func poll(ctx context.Context, done <-chan struct{}) error {
	t := time.NewTimer(pollEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
	case <-t.C:
	}
	return nil
}

// wait returns when another look at the log is worth it.
func (r *Reader) wait(ctx context.Context) error {
	if r.watch == nil {
		// What came between the last look and the watch is seen by the next.
		r.watch = newWatch(r.dir)
		return nil
	}
	select {
	case <-r.o.Done:
		r.final = true
		return nil
	default:
	}
	if !r.o.Until.IsZero() && time.Now().After(r.o.Until) {
		r.final = true
		return nil
	}
	return r.watch.wait(ctx, r.o.Done, r.o.Until)
}
