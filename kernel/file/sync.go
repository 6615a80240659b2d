package file

import (
	"errors"
	"os"
)

// Sync waits until a file is on the disk or, of a directory, what its names stand
// for (fsync(2)).
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
