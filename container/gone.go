package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/berth-engine/berth/fault"
)

// gonePrefix marks directories that are being deleted: their container does
// not exist any more.
const gonePrefix = ".gone-"

// goneAtOnce bounds how many directories are deleted behind the back of those who
// remove containers. Whoever comes when there are as many waits for his own.
const goneAtOnce = 8

// gone deletes directories of containers that do not exist any more.
type gone struct {
	room  chan struct{}
	until context.Context //nolint:containedctx // of what is waited for before: end
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

func newGone() *gone {
	g := &gone{room: make(chan struct{}, goneAtOnce)}
	g.until, g.stop = context.WithCancel(context.Background())
	return g
}

// end waits until what is under way is deleted, for which nothing else is waited any
// more.
func (g *gone) end() {
	g.stop()
	g.wg.Wait()
}

// remove takes the container's directory away. The rename is the moment at which
// it is gone: the files go behind the caller's back, unless he wants to see them
// gone (now), there are many others already, or the disk was full. A daemon killed
// meanwhile finds the rest in sweep. What is done behind the caller's back begins
// with idle, which returns when nobody uses the files any more: taking away what
// another processor is about to let go of has the kernel wait for that by trying
// again and again. failed hears of what goes wrong.
func (rs *records) remove(id string, now bool, idle func(), failed func(error)) error {
	dir := filepath.Join(rs.root, gonePrefix+id)
	err := os.Rename(rs.dir(id), dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove container directory: %w", err)
	}
	if err := fault.Point("container.remove.renamed"); err != nil {
		return err
	}
	if now || rs.spares.missing() {
		return rs.delete(dir)
	}
	select {
	case rs.gone.room <- struct{}{}:
	default:
		return rs.delete(dir)
	}
	rs.gone.wg.Go(func() {
		defer func() { <-rs.gone.room }()
		idle()
		if err := rs.delete(dir); err != nil {
			failed(err)
		}
	})
	return nil
}

func (rs *records) delete(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove container directory: %w", err)
	}
	if err := rs.spares.refill(); err != nil {
		return fmt.Errorf("remove container directory: %w", err)
	}
	return nil
}
