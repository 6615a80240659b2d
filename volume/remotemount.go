package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// mountedFile is in a volume's directory while its driver has it mounted for
// somebody: who that is, so that a daemon which comes after knows whom to
// unmount it for. It is written before the driver is asked.
const mountedFile = "mounted.json"

// unmountTime is how long a driver may take to unmount; settleTime, while the
// daemon starts.
const (
	unmountTime = time.Minute
	settleTime  = 3 * time.Second
)

// mountRemote has the driver mount a volume for user. A user that is known has it
// already. The caller holds the
// volume.
func (s *Store) mountRemote(ctx context.Context, e *entry, v *Volume, user string) error {
	d, err := s.driver(ctx, v.Driver)
	if err != nil {
		return fmt.Errorf("mount volume %s: %w", v.Name, err)
	}
	// Before Settle, users are those that live on from before a restart. Later, one
	// that does not use it now was left behind, by a reboot for instance.
	if _, known := e.remote[user]; known && (e.mounts[user] > 0 || !s.settled.Load()) {
		v.Path = e.remote[user]
		if v.Path == "" { // it was being mounted when the daemon ended
			if told, err := d.get(ctx, v.Name); err == nil {
				v.Path = told.Mountpoint
			}
		}
		if v.Path != "" {
			return nil
		}
	}
	e.remote[user] = ""
	if err := s.saveMounted(e, v); err != nil {
		delete(e.remote, user)
		return fmt.Errorf("mount volume %s: %w", v.Name, err)
	}
	path, err := d.mount(ctx, v.Name, user)
	if err != nil {
		// It may have been mounted nevertheless.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), unmountTime)
		defer cancel()
		_ = d.unmount(undo, v.Name, user)
		delete(e.remote, user)
		return errors.Join(fmt.Errorf("mount volume %s: %w", v.Name, err), s.saveMounted(e, v))
	}
	e.remote[user], v.Path = path, path
	return s.saveMounted(e, v)
}

// unmountRemote has the driver unmount a volume for all who do not use it any
// more. The caller holds the volume.
func (s *Store) unmountRemote(e *entry, v *Volume, limit time.Duration) error {
	var errs []error
	for user := range e.remote {
		if e.mounts[user] > 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		d, err := s.driver(ctx, v.Driver)
		if err == nil {
			err = d.unmount(ctx, v.Name, user)
		}
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("unmount volume %s: %w", v.Name, err))
			continue // it is tried again at the next occasion
		}
		delete(e.remote, user)
		errs = append(errs, s.saveMounted(e, v))
	}
	return errors.Join(errs...)
}

func (s *Store) saveMounted(e *entry, v *Volume) error {
	path := filepath.Join(s.dir(v.Name), mountedFile)
	if len(e.remote) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b, err := json.Marshal(e.remote)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// loadMounted reads what saveMounted wrote; nothing, if it cannot be read.
func loadMounted(dir string) map[string]string {
	users := map[string]string{}
	if b, err := os.ReadFile(filepath.Join(dir, mountedFile)); err == nil && json.Unmarshal(b, &users) != nil {
		users = map[string]string{}
	}
	return users
}

// path is where a volume is mounted now.
func (e *entry) path() string {
	users := make([]string, 0, len(e.remote))
	for u := range e.remote {
		users = append(users, u)
	}
	slices.Sort(users)
	for _, u := range users {
		if e.remote[u] != "" {
			return e.remote[u]
		}
	}
	return ""
}
