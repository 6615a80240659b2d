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
