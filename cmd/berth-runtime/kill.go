package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/sandbox/lifecycle"
)

func killVerb() *verb {
	var all bool
	return &verb{
		name: "kill", args: "container-id [signal]", min: 1, max: 2,
		about: "send a signal, SIGTERM by default, to process 1",
		flags: func(f *flag.FlagSet) { boolFlag(f, &all, "all", "a", "send it to every process of the container") },
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			name := "SIGTERM"
			if len(args) > 1 {
				name = args[1]
			}
			sig, err := parseSignal(name)
			if err != nil {
				return 1, err
			}
			err = p.root.Kill(ctx, args[0], sig, all)
			if all && lifecycle.NotRunning(err) {
				err = nil
			}
			return 0, err
		},
	}
}

// parseSignal reads a number or a name, with or without SIG.
func parseSignal(text string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		return syscall.Signal(n), nil
	}
	name := strings.ToUpper(text)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", text)
}
