package channel

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// files is a folder for each service on a volume that all share. A message is a
// file that is renamed into the folder when it is complete, and removed by its
// reader: neither lost nor doubled.
type files struct {
	inbox
	self string
	next atomic.Int64
}

const shared = "/shared"

func openFiles(ctx context.Context, self string, inotify bool) (*files, error) {
	c := &files{inbox: newInbox(), self: self}
	for _, dir := range []string{c.folder(self), filepath.Join(shared, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	wait := func() error { time.Sleep(pollEvery); return nil }
	if inotify {
		var err error
		if wait, err = told(c.folder(self)); err != nil {
			return nil, err
		}
	}
	go func() {
		for ctx.Err() == nil {
			if err := c.receive(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "files:", err)
			}
			if err := wait(); err != nil {
				fmt.Fprintln(os.Stderr, "inotify:", err)
			}
		}
	}()
	return c, nil
}

// told returns what waits until something was renamed into dir.
func told(dir string) (func() error, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO); err != nil {
		return nil, err
	}
	events := make([]byte, 64<<10)
	return func() error { _, err := unix.Read(fd, events); return err }, nil
}

func (c *files) folder(name string) string { return filepath.Join(shared, "to-"+name) }

func (c *files) receive(ctx context.Context) error {
	entries, err := os.ReadDir(c.folder(c.self)) // in the order of their names
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(c.folder(c.self), e.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var m Message
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		c.put(ctx, m)
	}
	return nil
}

func (c *files) Send(_ context.Context, to string, m Message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%012d-%s", c.next.Add(1), c.self)
	tmp := filepath.Join(shared, "tmp", name)
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(c.folder(to), name))
}
