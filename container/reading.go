package container

import (
	"context"
	"errors"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Reading is the records of all containers on their way from the disk. With a
// thousand of them that takes half a second, in which the other parts of
// an engine can start.
type Reading struct {
	done  chan struct{}
	found []readRecord
	round uint64 // of the log of states
	err   error
}

// readRecord is what became of one. One that cannot be read is left alone: its
// container is not there for this daemon, and its data stays.
type readRecord struct {
	id     string
	record *Record
	logged bool  // it is from the log of states, and newer than what is in its file
	err    error // of kind os.ErrNotExist: the container was never finished
}

// ReadRecords begins to read the records below root, for Options.Records. Only
// whoever owns the directory may: what a killed daemon left of removed
// containers goes.
func ReadRecords(ctx context.Context, root string) *Reading {
	r := &Reading{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = r.read(ctx, &records{root: root})
	}()
	return r
}

// Wait returns when nothing is read any more.
func (r *Reading) Wait() { <-r.done }

func (r *Reading) read(ctx context.Context, rs *records) error {
	ids, err := rs.ids()
	if errors.Is(err, os.ErrNotExist) {
		return nil // a new data-root
	}
	if err != nil {
		return err
	}
	if err := rs.sweep(); err != nil {
		return err
	}
	logged, round, err := readStates(rs.root)
	if err != nil {
		return err
	}
	r.round = round
	r.found = make([]readRecord, len(ids))
	workers := runtime.NumCPU()
	var work errgroup.Group
	for w := range workers {
		work.Go(func() error {
			for i := w; i < len(ids); i += workers {
				if err := ctx.Err(); err != nil {
					return err
				}
				record, newer, err := rs.load(ids[i], logged[ids[i]])
				r.found[i] = readRecord{ids[i], record, newer, err}
			}
			return nil
		})
	}
	return work.Wait()
}
