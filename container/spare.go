package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// spareDir below the directory of containers holds the spares.
const spareDir = ".spare"

const (
	spareCount = 8
	spareSize  = 32 << 10 // a record has a few kilobytes
)

// spares are files that have their place on the disk already. When the disk is
// full, a record is written over one of them, which is then renamed: or else a
// container that has filled the disk could not even be removed. They are several
// because what fills the disk also takes the rest that a used one gives back.
type spares struct {
	dir string

	mu    sync.Mutex
	short bool // some are missing
}

// isFull tells that a write failed for want of room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// use makes path a file with these bytes.
func (s *spares) use(data []byte, path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.short = true
	for i := range spareCount {
		spare := s.path(i)
		f, err := os.OpenFile(spare, os.O_WRONLY, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		if err == nil {
			err = f.Truncate(int64(len(data)))
		}
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(spare, path)
		}
		return err
	}
	return fmt.Errorf("no spare is left: %w", syscall.ENOSPC)
}

// open makes the spares that are missing. It is no error if the disk is full.
func (s *spares) open() error {
	if err := os.Mkdir(s.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		if isFull(err) {
			return nil
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.short = true
	return s.fill()
}

// missing tells whether some were used and are not replaced.
func (s *spares) missing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.short
}

// refill replaces those that were used, as soon as there is room.
func (s *spares) refill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fill()
}

func (s *spares) fill() error {
	if !s.short {
		return nil
	}
	for i := range spareCount {
		spare := s.path(i)
		if fi, err := os.Stat(spare); err == nil && fi.Size() == spareSize {
			continue
		}
		if err := os.WriteFile(spare, make([]byte, spareSize), 0o600); err != nil {
			err = errors.Join(err, os.Remove(spare))
			if isFull(err) {
				return nil
			}
			return err
		}
	}
	s.short = false
	return nil
}

func (s *spares) path(i int) string { return filepath.Join(s.dir, strconv.Itoa(i)) }
