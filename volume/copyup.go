package volume

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// CopyUp fills an empty volume with what the image has at the volume's place,
// with owners, modes, times and extended attributes. from is the directory,
// opened inside the root file system. No link is followed, in either of them,
// whatever a container that has the volume already does meanwhile. A volume that holds something is left alone.
func CopyUp(v Volume, from *os.File) error {
	empty, err := isEmpty(v.Path)
	if err != nil || !empty {
		return err
	}
	if err := fill(v.Path, from); err != nil {
		return fmt.Errorf("fill volume %s from the image: %w", v.Name, err)
	}
	return nil
}

func isEmpty(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	_, err = f.ReadDir(1)
	if closeErr := f.Close(); closeErr != nil {
		return false, closeErr
	}
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}
