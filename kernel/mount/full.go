package mount

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Full tells whether err says that a file system has no space left.
func Full(err error) bool { return errors.Is(err, unix.ENOSPC) }
