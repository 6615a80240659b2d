package executor

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/mount"
)

// sharedTrees are the overlays that are written to, by their upper directories:
// several steps at once may use one, a cache, but two overlays must not have the
// same.
type sharedTrees struct {
	mu    sync.Mutex
	trees map[string]*sharedTree
}

type sharedTree struct {
	users int
	tree  *os.File // nil: the only user has it
}

// open makes an overlay, or another view of it if there is one, until release.
// Before Linux 6.15 there can be no other view: the error's kind is
// NotImplemented.
func (s *sharedTrees) open(l mount.Layers) (tree *os.File, release func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trees[l.Upper]
	if t == nil {
		t = &sharedTree{}
		if t.tree, err = mount.Overlay(l); err != nil {
			return nil, nil, err
		}
	}
	if tree, err = t.view(); err != nil {
		return nil, nil, err
	}
	if s.trees == nil {
		s.trees = map[string]*sharedTree{}
	}
	s.trees[l.Upper] = t
	t.users++
	return tree, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users > 0 {
			return nil
		}
		delete(s.trees, l.Upper)
		return t.close()
	}, nil
}

func (t *sharedTree) view() (*os.File, error) {
	if t.tree != nil {
		view, err := mount.CloneTree(t.tree)
		switch {
		case err == nil:
			return view, nil
		case !errdefs.IsNotImplemented(err):
			if t.users == 0 {
				err = errors.Join(err, t.close())
			}
			return nil, err
		case t.users == 0:
			view, t.tree = t.tree, nil
			return view, nil
		}
	}
	return nil, fmt.Errorf("a cache that began as a copy cannot be shared with another step in a user namespace before Linux 6.15: "+
		"use sharing=locked: %w", errdefs.ErrNotImplemented)
}

func (t *sharedTree) close() error {
	if t.tree == nil {
		return nil
	}
	return t.tree.Close()
}
