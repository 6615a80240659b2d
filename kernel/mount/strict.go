//go:build !nodefence_strict

package mount

import "golang.org/x/sys/unix"

// noLinks refuses links altogether.
const noLinks = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS
