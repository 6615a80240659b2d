//go:build faultpoints

package fault

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestPoint(t *testing.T) {
	t.Setenv("BERTH_FAULT", "a=error, b=sleep:1ms")
	var e *Error
	if err := Point("a"); !errors.As(err, &e) || e.Point != "a" {
		t.Errorf("a: %v", err)
	}
	for _, name := range []string{"b", "c"} {
		if err := Point(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPanic(t *testing.T) {
	t.Setenv("BERTH_FAULT", "p=panic:2")
	for pass := 1; pass <= 3; pass++ {
		func() {
			defer func() {
				if got := recover() != nil; got != (pass == 2) {
					t.Errorf("pass %d: panic %v", pass, got)
				}
			}()
			_ = Point("p")
		}()
	}
}

func TestKill(t *testing.T) {
	if os.Getenv("BERTH_FAULT") == "die=kill" {
		_ = Point("die")
		os.Exit(0)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "BERTH_FAULT=die=kill")
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("not killed: %v", err)
	}
}
