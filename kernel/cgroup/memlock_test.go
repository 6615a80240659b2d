package cgroup

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestKeepMemlock: what is done to the limit in between is taken back.
func TestKeepMemlock(t *testing.T) {
	var before, after unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &before); err != nil {
		t.Fatal(err)
	}
	done := keepMemlock()
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: before.Cur / 2, Max: before.Max}); err != nil {
		t.Error(err)
	}
	done()
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &after); err != nil || after != before {
		t.Errorf("%+v instead of %+v, %v", after, before, err)
	}
}
