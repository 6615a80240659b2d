package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFiltered: a status file tells whether there is a filter.
func TestFiltered(t *testing.T) {
	for text, want := range map[string]bool{
		"Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n": true,
		"Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\n": false,
		"Name:\tSeccomp: 2\n":                          false,
		"":                                             false,
	} {
		path := filepath.Join(t.TempDir(), "status")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if filtered(path) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
	if filtered(filepath.Join(t.TempDir(), "none")) {
		t.Error("no file is a filter")
	}
}

// TestRemedy: only what a filter can be the cause of is said to be that, and what
// it was stays.
func TestRemedy(t *testing.T) {
	for _, row := range []struct {
		err    error
		filter bool
		more   bool
	}{
		{unix.EPERM, true, true},
		{fmt.Errorf("memfd_create: %w", unix.ENOSYS), true, true},
		{errors.New("container init: capset: operation not permitted"), true, true},
		{errors.New("container init ended during set-up: bad system call"), true, true},
		{unix.ENOENT, true, false},
		{unix.EPERM, false, false},
	} {
		got := remedy(row.err, row.filter)
		if !errors.Is(got, row.err) || strings.Contains(got.Error(), "system call filter itself") != row.more {
			t.Errorf("%v, under a filter %v: %v", row.err, row.filter, got)
		}
	}
}
