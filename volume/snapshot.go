package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/file"
)

// A Snapshot is what a volume held at some time.
type Snapshot struct {
	Name      string
	CreatedAt time.Time
}

// Snapshot keeps the files of a volume as they are now, under a name; "" makes
// one of the time. Where the file system shares blocks it takes no space. What
// is written meanwhile may be in it or not.
func (s *Store) Snapshot(ctx context.Context, name, snapshot string) (Snapshot, error) {
	now := time.Now().UTC()
	if snapshot == "" {
		snapshot = now.Format("20060102-150405.000")
	}
	if err := CheckName(snapshot); err != nil {
		return Snapshot{}, err
	}
	e, err := s.lock(name)
	if err != nil {
		return Snapshot{}, err
	}
	defer e.busy.Unlock()
	v := s.current(e)
	if v.hasDevice() || v.remote() {
		return Snapshot{}, noSnapshots(name)
	}
	dir := filepath.Join(s.dir(name), snapshotsDir)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return Snapshot{}, fmt.Errorf("snapshot %s: %w", name, err)
	}
	err = copyAside(ctx, dir, v.Path, halfMade+snapshot, nil, func(parent *os.File) error {
		if err := fault.Point("volume.snapshot.copied"); err != nil {
			return err
		}
		if err := file.Claim(parent, halfMade+snapshot, snapshot); !errors.Is(err, os.ErrExist) {
			return err
		}
		return fail(errdefs.ErrConflict, "volume %s has a snapshot %s already", name, snapshot)
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %s: %w", name, err)
	}
	return Snapshot{snapshot, now}, nil
}

func noSnapshots(name string) error {
	return fail(errdefs.ErrInvalidArgument, "volume %s shows a device: it has no snapshots", name)
}

// Snapshots lists the snapshots of a volume, the oldest first.
func (s *Store) Snapshots(name string) ([]Snapshot, error) {
	e, err := s.lock(name)
	if err != nil {
		return nil, err
	}
	defer e.busy.Unlock()
	dir := filepath.Join(s.dir(name), snapshotsDir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("snapshots of %s: %w", name, err)
	}
	out := []Snapshot{}
	for _, d := range entries {
		if CheckName(d.Name()) != nil {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, d.Name(), dataDir))
		if err != nil {
			return nil, fmt.Errorf("snapshots of %s: %w", name, err)
		}
		made, err := d.Info()
		if err != nil || !info.IsDir() {
			return nil, errors.Join(fmt.Errorf("snapshots of %s: %s is not one", name, d.Name()), err)
		}
		out = append(out, Snapshot{d.Name(), made.ModTime().UTC()})
	}
	slices.SortFunc(out, func(a, b Snapshot) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out, nil
}

// Restore puts the files of a snapshot in place of those of the volume, all at
// once. A volume that a running container uses is a conflict; the snapshot
// stays.
func (s *Store) Restore(ctx context.Context, name, snapshot string) error {
	e, dir, err := s.lockSnapshot(name, snapshot)
	if err != nil {
		return err
	}
	defer e.busy.Unlock()
	if len(e.mounts) > 0 {
		return fail(errdefs.ErrConflict, "restore %s: volume is in use by a running container: stop it first", name)
	}
	v := s.current(e)
	err = s.unlimited(&v, func() error { return s.replaceData(ctx, &v, filepath.Join(dir, dataDir)) })
	if err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	return nil
}

// replaceData puts a copy of the directory from in place of the files of a volume.
func (s *Store) replaceData(ctx context.Context, v *Volume, from string) error {
	const fresh = halfMade + "restore"
	prepare := func(dir string) error { return s.limitCopy(v, dir) }
	return copyAside(ctx, s.dir(v.Name), from, fresh, prepare, func(parent *os.File) error {
		if err := fault.Point("volume.restore.copied"); err != nil {
			return err
		}
		sub, err := file.OpenDir(parent, fresh)
		if err != nil {
			return err
		}
		defer sub.Close()
		// The new data comes to where the old is, and the old to where
		// copyAside, or the next start of the daemon, removes it.
		if err := file.Rename(sub, dataDir, parent, halfMade+dataDir); err != nil {
			return err
		}
		if err := fault.Point("volume.restore.renamed"); err != nil {
			return err
		}
		err = file.Exchange(parent, halfMade+dataDir, dataDir)
		if err == nil {
			err = fault.Point("volume.restore.exchanged")
		}
		return errors.Join(err, file.Remove(parent, halfMade+dataDir))
	})
}

// RemoveSnapshot deletes a snapshot.
func (s *Store) RemoveSnapshot(name, snapshot string) error {
	e, dir, err := s.lockSnapshot(name, snapshot)
	if err != nil {
		return err
	}
	defer e.busy.Unlock()
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return fmt.Errorf("remove snapshot %s: %w", snapshot, err)
	}
	defer parent.Close()
	gone := halfGone + snapshot
	if err := file.Rename(parent, snapshot, parent, gone); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", snapshot, err)
	}
	return file.Remove(parent, gone)
}

// lockSnapshot holds a volume and returns the directory of its snapshot.
func (s *Store) lockSnapshot(name, snapshot string) (*entry, string, error) {
	e, err := s.lock(name)
	if err != nil {
		return nil, "", err
	}
	v, dir := s.current(e), filepath.Join(s.dir(name), snapshotsDir, snapshot)
	switch err := CheckName(snapshot); {
	case v.hasDevice(), v.remote():
		e.busy.Unlock()
		return nil, "", noSnapshots(name)
	case err != nil:
		e.busy.Unlock()
		return nil, "", err
	}
	if _, err := os.Stat(filepath.Join(dir, dataDir)); err != nil {
		e.busy.Unlock()
		if errors.Is(err, os.ErrNotExist) {
			return nil, "", fail(errdefs.ErrNotFound, "volume %s has no snapshot %s", name, snapshot)
		}
		return nil, "", fmt.Errorf("snapshot %s: %w", snapshot, err)
	}
	return e, dir, nil
}

// copyAside copies the directory from to parent/hidden/_data, which prepare, if
// it is not nil, gets while it is empty, and calls place to put it to its place.
// What is left at hidden is removed.
func copyAside(ctx context.Context, parent, from, hidden string, prepare func(dir string) error, place func(parent *os.File) error) (err error) {
	p, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer p.Close()
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := file.Remove(p, hidden); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Remove(p, hidden)) }()
	if err := os.MkdirAll(filepath.Join(parent, hidden, dataDir), 0o700); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(parent, hidden), 0o701); err != nil {
		return err
	}
	if prepare != nil {
		if err := prepare(filepath.Join(parent, hidden, dataDir)); err != nil {
			return err
		}
	}
	err = fillDir(filepath.Join(parent, hidden, dataDir), func(dst *os.File) error { return file.CopyTree(ctx, dst, src) })
	if err != nil {
		return err
	}
	return place(p)
}

// sweepVolume removes what a killed daemon left half made inside a volume.
func (s *Store) sweepVolume(name string) error {
	for _, dir := range []string{s.dir(name), filepath.Join(s.dir(name), snapshotsDir)} {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		parent, err := os.Open(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), halfMade) || strings.HasPrefix(e.Name(), halfGone) {
				err = errors.Join(err, file.Remove(parent, e.Name()))
			}
		}
		parent.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
