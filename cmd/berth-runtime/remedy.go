package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// withRemedy adds to an error that a system call filter around this program may
// be the cause of, as where it runs in a container itself, that there is one. What
// the filter refuses is in the error; who is to change what, it does not know.
func withRemedy(err error) error { return remedy(err, filtered("/proc/self/status")) }

func remedy(err error, filter bool) error {
	text := err.Error() // a stage's errors are text
	refused := errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS)
	for _, said := range []string{"operation not permitted", "function not implemented", "bad system call"} {
		refused = refused || strings.Contains(text, said)
	}
	if !refused || !filter {
		return err
	}
	return fmt.Errorf("%w (this program runs under a system call filter itself, which may have refused it: have the filter allow the call, or do without it: docker run --security-opt seccomp=unconfined, SystemCallFilter= of a unit)", err)
}

// filtered tells whether a status file of proc(5) is of a process with a filter.
func filtered(status string) bool {
	f, err := os.Open(status)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if mode, is := strings.CutPrefix(lines.Text(), "Seccomp:"); is {
			return strings.TrimSpace(mode) == "2" // SECCOMP_MODE_FILTER
		}
	}
	return false
}
