package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// CopyUp fills an empty volume with what the image has at the volume's place,
// with owners, modes, times and extended attributes. from is the directory,
// opened inside the root file system. No link is followed, in either of them,
// whatever a container that has the volume already does meanwhile. A volume
// that holds something is left alone.
func CopyUp(ctx context.Context, v Volume, from *os.File) error {
	dir, err := os.Open(v.Path)
	if err != nil {
		return fmt.Errorf("fill volume %s from the image: %w", v.Name, err)
	}
	defer dir.Close()
	_, err = dir.Readdirnames(1)
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = fill(ctx, dir, from)
	}
	if err != nil {
		return fmt.Errorf("fill volume %s from the image: %w", v.Name, err)
	}
	return nil
}
