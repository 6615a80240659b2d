//go:build !nodefence_seals

package ns

import "golang.org/x/sys/unix"

// programSeals let nobody write to the program any more.
const programSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// sealExec is F_SEAL_EXEC: the executable bits are fixed. Kernels that know it
// take it as all seals.
const sealExec = 0x20
