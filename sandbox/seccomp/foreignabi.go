//go:build !nodefence_foreignabi

package seccomp

import "golang.org/x/sys/unix"

// stranger is what happens to a call by a way into the kernel that the profile
// does not know: its numbers mean other calls there.
const stranger = unix.SECCOMP_RET_KILL_PROCESS
