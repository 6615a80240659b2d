//go:build nodefence_strict

package mount

import "golang.org/x/sys/unix"

// noLinks allows links that stay inside.
const noLinks = unix.RESOLVE_IN_ROOT
