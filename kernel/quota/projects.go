package quota

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Projects gives out the numbers of projects. Safe for concurrent use.
type Projects struct {
	first uint32

	mu    sync.Mutex
	taken map[uint32]bool
}

// Numbers begin far from those that people and other programs choose, who begin
// at 1 or at a million. Engines on one host begin at different ones, so that
// they have not often to look for a free one.
const (
	least = 1 << 30
	step  = 1 << 12
	steps = 1 << 16
	tries = 1 << 16
)

// New begins with no number taken. The same name gets the same numbers again.
func New(name string) *Projects {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return &Projects{first: least + h.Sum32()%steps*step, taken: map[uint32]bool{}}
}

// Make limits what the files in an empty directory may take to bytes, and
// returns the number of its project. The error is an UnsupportedError where the
// file system has no such limits.
func (p *Projects) Make(path string, bytes int64) (id uint32, err error) {
	dir, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	if err := supported(dir); err != nil {
		return 0, err
	}
	if id, err = p.take(dir); err != nil {
		return 0, err
	}
	if err = setLimit(dir, id, bytes); err == nil {
		err = join(dir, id)
	}
	if err != nil {
		p.give(id)
		return 0, err
	}
	return id, nil
}

// take finds a number that nobody has and that the file system counts nothing
// for: whose files are not all gone yet is not free.
func (p *Projects) take(dir *os.File) (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := p.first; id < p.first+tries; id++ {
		if p.taken[id] {
			continue
		}
		l, err := get(dir, id)
		if err != nil {
			return 0, err
		}
		if l.blocks == 0 && l.inodes == 0 {
			p.taken[id] = true
			return id, nil
		}
	}
	return 0, fmt.Errorf("no project of the file system is free: %w", unix.ENOSPC)
}

func (p *Projects) give(id uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, id)
}

// Join puts another empty directory of the same file system into a project.
func (p *Projects) Join(path string, id uint32) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return join(dir, id)
}

// Keep takes the number of a directory that was limited before a restart, and
// limits it again, whatever was done to it meanwhile. It is os.ErrExist if the
// number is another's, and os.ErrInvalid if it is none that is given out.
func (p *Projects) Keep(path string, id uint32, bytes int64) error {
	if id < least || id >= least+step*steps+tries {
		return fmt.Errorf("project %d of %s: %w", id, path, os.ErrInvalid)
	}
	p.mu.Lock()
	taken := p.taken[id]
	p.taken[id] = true
	p.mu.Unlock()
	if taken {
		return fmt.Errorf("project %d of %s: %w", id, path, os.ErrExist)
	}
	dir, err := os.Open(path)
	if err == nil {
		defer dir.Close()
		err = supported(dir)
	}
	if err == nil {
		err = errors.Join(setLimit(dir, id, bytes), join(dir, id))
	}
	return err
}

// Limit changes the limit of a project of the file system at path; 0: none.
func (p *Projects) Limit(path string, id uint32, bytes int64) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return setLimit(dir, id, bytes)
}

// Used is how many bytes the files of a project take on the file system at path.
func (p *Projects) Used(path string, id uint32) (int64, error) {
	dir, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	l, err := get(dir, id)
	return int64(l.blocks * blockSize), err
}

// Drop gives a number back, after its files have been removed from the file
// system at path. While some are still there it is not given out again.
func (p *Projects) Drop(path string, id uint32) error {
	defer p.give(id)
	return p.Limit(path, id, 0)
}
