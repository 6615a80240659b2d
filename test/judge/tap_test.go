package main

import (
	"slices"
	"strings"
	"testing"
)

func TestReadTAP(t *testing.T) {
	got, err := readTAP(strings.NewReader(`TAP version 13
1..6
ok 1 - find cpu cgroup
ok 2 runc exec [tty] # skip test requires criu
ok 3 # SKIP syscall action SCMP_ACT_ALLOW
not ok 4 runc run # of many
# (in test file run.bats, line 3)
#   ` + "`" + `[ "$status" -eq 0 ]' failed
ok 5
not ok 6 - hostname
  ---
  {
    "error": "no"
  }
  ...
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []verdict{
		{"find cpu cgroup", pass, ""},
		{"runc exec [tty]", skip, "test requires criu"},
		{"case 3", skip, "syscall action SCMP_ACT_ALLOW"},
		{"runc run # of many", fail, "(in test file run.bats, line 3)\n  `[ \"$status\" -eq 0 ]' failed"},
		{"case 5", pass, ""},
		{"hostname", fail, `"error": "no"`},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
