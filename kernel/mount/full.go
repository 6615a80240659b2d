package mount

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Full tells whether err says that a file system has no space left.
func Full(err error) bool { return errors.Is(err, unix.ENOSPC) }

// ReadOnly tells whether err says that a file system or mount may not be
// written to.
func ReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }

// Unreadable tells whether err is ReadFileInRoot's about what lies in the root:
// no regular file, one that is too long, or a path that makes no sense.
func Unreadable(err error) bool {
	return BadPath(err) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EXDEV)
}

// BadPath tells whether err says that a path makes no sense where it is used:
// through something that is no directory, in a circle of links, too long.
func BadPath(err error) bool {
	return errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENAMETOOLONG)
}
