//go:build nodefence_peercred

package monitor

import "golang.org/x/sys/unix"

func trusted(*unix.Ucred) bool { return true }
