// Package story has what scripts of package testscript share that tell how
// programs are used on a whole host: they run one after the other, since each
// compares the state of the host, and wait for what happens by itself.
package story

import (
	"errors"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// T is a test in testscript's form whose scripts run one after the other.
type T struct{ *testing.T }

// Run is testscript's.
func (t T) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(T{t}) })
}

// Parallel does nothing.
func (T) Parallel() {}

// Verbose is testscript's.
func (T) Verbose() bool { return testing.Verbose() }

// patience bounds how long Output repeats.
const patience = 60 * time.Second

// Code is a command: code N PROGRAM ARGS… runs the program, whose exit status
// must be N.
func Code(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d instead of %s", got, args[0])
	}
}

// Output is a command: output REGEXP PROGRAM ARGS… repeats the program until
// its output matches, or with "!" does not.
func Output(ts *testscript.TestScript, not bool, args []string) {
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		_ = ts.Exec(args[1], args[2:]...)
		if want.MatchString(ts.ReadFile("stdout")) != not {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the output does not come to match %s", want)
		}
	}
}
