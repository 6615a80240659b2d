//go:build nodefence_seals

package ns

import "golang.org/x/sys/unix"

// The program stays writable.
const (
	programSeals = unix.F_SEAL_SEAL
	sealExec     = 0
)
