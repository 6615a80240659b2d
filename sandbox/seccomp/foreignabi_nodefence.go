//go:build nodefence_foreignabi

package seccomp

import "golang.org/x/sys/unix"

const stranger = unix.SECCOMP_RET_ALLOW
