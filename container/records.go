package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/file"
)

const (
	recordFile = "record.json"
	// firstFile is a second link to the record as Create wrote it. Later
	// versions are renamed over record.json without waiting for the disk; after
	// a power loss on a file system that orders the rename before the data, this
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
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if !durable {
		return os.Rename(tmp, filepath.Join(dir, recordFile))
	}
	if err := rs.disk.sync(tmp); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if err := os.Link(tmp, filepath.Join(dir, firstFile)); err != nil {
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

// replace writes a later version by write and rename; a killed daemon finds
// the old or the new one. persist makes it survive a power loss, too.
func (rs *records) replace(r *Record) error {
	dst := filepath.Join(rs.dir(r.ID), recordFile)
	b, err := encodeRecord(r)
	if err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	if err = os.WriteFile(dst+tmpSuffix, b, 0o600); isFull(err) {
		err = rs.spares.use(b, dst+tmpSuffix)
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

// persist makes the last versions of records durable, all together. The errors
// are those of the containers with the same index.
func (rs *records) persist(ids []string) []error {
	jobs := make([][]string, len(ids))
	for i, id := range ids {
		jobs[i] = []string{filepath.Join(rs.dir(id), recordFile), rs.dir(id)}
	}
	return syncAll(jobs)
}

// load reads a record. An error of kind os.ErrNotExist says that the directory
// was never finished.
func (rs *records) load(id string) (*Record, error) {
	r, err := rs.loadFile(filepath.Join(rs.dir(id), recordFile))
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return r, err
	}
	first, firstErr := rs.loadFile(filepath.Join(rs.dir(id), firstFile))
	if firstErr != nil {
		return nil, err
	}
	return first, nil
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
