package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/file"
)

const (
	recordFile = "record.json"
	// firstFile is the record as earlier programs' Create wrote it: they renamed
	// later versions over record.json without waiting for the disk, and after a
	// power loss on a file system that orders the rename before the data, this
	// one is still whole.
	firstFile = "created.json"
	tmpSuffix = ".tmp"
)

// records writes and reads the records below one directory.
type records struct {
	root   string
	disk   syncer
	spares spares
	gone   *gone
	states *stateLog
	// writing is held by whoever replaces the record of one of a share of the
	// containers.
	writing [32]sync.Mutex
}

// open makes the directory ready for a disk that is full one day.
func (rs *records) open() error {
	rs.spares.dir = filepath.Join(rs.root, spareDir)
	if err := rs.spares.open(); err != nil {
		return fmt.Errorf("open records: %w", err)
	}
	return nil
}

func (rs *records) dir(id string) string { return filepath.Join(rs.root, id) }

// create writes the first version of a record into its directory, which must
// exist. If durable, it returns when the record and the way to it are on the
// disk.
func (rs *records) create(r *Record, durable bool) error {
	dir := rs.dir(r.ID)
	tmp := filepath.Join(dir, recordFile+tmpSuffix)
	b, err := encodeRecord(r)
	if err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if err := file.Write(tmp, b, 0o600); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if !durable {
		return os.Rename(tmp, filepath.Join(dir, recordFile))
	}
	if err := rs.disk.sync(tmp); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if err := fault.Point("container.create.record"); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, recordFile)); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if err := rs.disk.sync(dir, rs.root); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	return nil
}

// save keeps a later version of a record: a killed daemon finds it. It gets to its
// file, and survives a power loss, with the next writeOut. After an error the
// version before counts.
func (rs *records) save(r *Record) error {
	if r.Seq > 1 { // else a program without numbers wrote what is in the file: what it writes has to count
		encoded, err := encodeRecord(r)
		if err != nil {
			return fmt.Errorf("save record: %w", err)
		}
		if ok, err := rs.states.add(r, encoded); ok || err != nil {
			return err
		}
	}
	writing := rs.lockOf(r.ID)
	writing.Lock()
	defer writing.Unlock()
	if err := rs.replace(r); err != nil {
		return err
	}
	rs.states.drop(r.ID) // of before
	rs.states.later(r)
	return nil
}

func (rs *records) lockOf(id string) *sync.Mutex { return &rs.writing[int(id[0])%len(rs.writing)] }

// replace puts a later version in place by write and rename. A killed daemon finds
// the old or the new one, and so does a power loss, if the container outlives its
// run.
func (rs *records) replace(r *Record) error {
	dst := filepath.Join(rs.dir(r.ID), recordFile)
	b, err := encodeRecord(r)
	if err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if err = file.Write(dst+tmpSuffix, b, 0o600); isFull(err) {
		err = rs.spares.use(b, dst+tmpSuffix)
	}
	if err == nil && !r.autoRemove() {
		err = file.Sync(dst + tmpSuffix)
	}
	if err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if err := fault.Point("container.record.rename"); err != nil {
		return err
	}
	if err := os.Rename(dst+tmpSuffix, dst); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if err := rs.spares.refill(); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	return nil
}

// writeOut brings to their files, and makes durable, the versions that save has
// kept so far. What cannot be written is tried again by the next writeOut; failed
// hears of it. It is false then.
func (rs *records) writeOut(failed func(id string, err error)) bool {
	list := rs.states.turn()
	var whole atomic.Bool
	whole.Store(true)
	var work errgroup.Group
	work.SetLimit(atOnce)
	for id, v := range list {
		work.Go(func() error {
			err := fault.Point("container.states.turned")
			if err == nil {
				err = rs.writeOne(v)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) { // removed meanwhile
				whole.Store(false)
				rs.states.again(v)
				failed(id, err)
			}
			return nil
		})
	}
	_ = work.Wait() // never fails
	return whole.Load()
}

func (rs *records) writeOne(v late) error {
	r := v.record
	if err := func() error {
		writing := rs.lockOf(r.ID)
		writing.Lock()
		defer writing.Unlock()
		if v.written || !rs.states.due(r.ID) {
			return nil
		}
		return rs.replace(r)
	}(); err != nil || r.autoRemove() {
		return err
	}
	return file.Sync(rs.dir(r.ID))
}

// load reads a record, or the version of it that a log has, if that is newer: then
// newer is true, and it has to be written to the file. An error of kind
// os.ErrNotExist says that the directory was never finished.
func (rs *records) load(id string, logged loggedState) (r *Record, newer bool, err error) {
	r, err = rs.loadFile(filepath.Join(rs.dir(id), recordFile))
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && r.Seq >= logged.seq:
		return r, false, err
	case err == nil && r.Seq == 0:
		// A program without numbers wrote it since.
		r.Seq = logged.seq
		return r, true, nil
	}
	if logged.seq > 0 {
		if last, err := decodeRecord(logged.encoded); err == nil && last.ID == id {
			return last, true, nil
		}
	}
	if err == nil {
		return r, false, nil
	}
	first, firstErr := rs.loadFile(filepath.Join(rs.dir(id), firstFile))
	if firstErr != nil {
		return nil, false, err
	}
	return first, false, nil
}

func (rs *records) loadFile(path string) (*Record, error) {
	b, err := file.Read(path)
	if err != nil {
		return nil, err
	}
	r, err := decodeRecord(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// ids lists what lies in the directory and looks like a container.
func (rs *records) ids() ([]string, error) {
	entries, err := os.ReadDir(rs.root)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && isID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// sweep deletes what remove could not finish.
func (rs *records) sweep() error {
	entries, err := os.ReadDir(rs.root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), gonePrefix) {
			if err := os.RemoveAll(filepath.Join(rs.root, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
