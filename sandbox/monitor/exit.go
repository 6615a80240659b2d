package monitor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
)

// Exit says how a container ended.
type Exit struct {
	// Code is the exit status of process 1, or 128 + Signal.
	Code int `json:"code"`
	// Signal ended process 1; 0 if it exited by itself.
	Signal int `json:"signal,omitempty"`
	// OOMKilled tells that the kernel killed a process of the container for
	// want of memory.
	OOMKilled bool `json:"oom_killed,omitempty"`
	// StartedAt is when process 1 executed its program; zero if it never did.
	StartedAt time.Time `json:"started_at"`
	// FinishedAt is when it was reaped.
	FinishedAt time.Time `json:"finished_at"`
	// Reason is set when it was not process 1 that decided: the program could
	// not be executed, or the monitor died.
	Reason string `json:"reason,omitempty"`
	// Instance is the launch that the record is of.
	Instance string `json:"instance,omitempty"`
}

const exitFile = "exit.json"

// WriteExit puts e in place in dir, whole or not at all. When durable, it is
// on disk before WriteExit returns.
func WriteExit(dir string, e *Exit, durable bool) error {
	tmp := filepath.Join(dir, "."+exitFile+"."+e.Instance)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("exit record: %w", err)
	}
	_, err = f.Write(append(Marshal(e), '\n'))
	if err == nil && durable {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, exitFile))
	}
	if err != nil {
		return fmt.Errorf("exit record: %w", errors.Join(err, os.Remove(tmp)))
	}
	if durable {
		return syncDir(dir)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("exit record: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("exit record: %w", err)
	}
	return nil
}

// ReadExit reads the exit record in dir; errdefs.NotFound if there is none.
func ReadExit(dir string) (*Exit, error) {
	data, err := os.ReadFile(filepath.Join(dir, exitFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("exit record in %s: %w", dir, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("exit record: %w", err)
	}
	e := new(Exit)
	if err := Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("exit record in %s: %w", dir, err)
	}
	return e, nil
}

// RemoveExit removes an older exit record from dir.
func RemoveExit(dir string) error {
	if err := os.Remove(filepath.Join(dir, exitFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("exit record: %w", err)
	}
	return nil
}
