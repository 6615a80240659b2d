//go:build !nodefence_closeothers

package ns

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// closeFrom closes all descriptors from a number on.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) closeFrom(fd int) {
	_, _, e := syscall.RawSyscall(unix.SYS_CLOSE_RANGE, uintptr(fd), ^uintptr(0)>>32, 0)
	c.check(stepFiles, e)
}
