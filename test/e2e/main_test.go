// Package e2e tells whole stories: the real daemon, the real clients, real
// containers, as root. Each story has an engine of its own and ends with the
// leak check. The stories in testdata are scripts that a user could type.
package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// hub is the one Hub that all stories pull from, with hello-world and busybox.
var hub *engine.Hub

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "test/e2e starts real containers: run it as root (make e2e)")
		return 1
	}
	dir, err := os.MkdirTemp("", "berth-e2e-hub-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	hub, err = engine.StartHub(dir, "")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := hub.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	if err := engine.PushBusybox(context.Background(), hub); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
