// Command berthd is the engine: it serves the Engine API and owns images,
// networks and containers. Containers do not need it to go on running.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/berth-engine/berth/config"
	"github.com/berth-engine/berth/kernel/timerslack"
)

// Set by the linker; see the Makefile.
var (
	version   = "0.1.0-dev"
	commit    = ""
	buildTime = ""
)

// main leaves its thread alone: a module that is linked in (moby/go-archive) locks
// the first goroutine to it, and each time that one waits, two threads would
// have to be woken.
func main() {
	timerslack.Widen(time.Millisecond)
	status := make(chan int)
	go func() { status <- run(os.Args[1:], os.Stdout, os.Stderr) }()
	os.Exit(<-status)
}

// run is the program; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	cfg, err := config.Load(args)
	if err != nil {
		fmt.Fprintf(stderr, "berthd: %v\nSee 'berthd --help'.\n", err)
		return 1
	}
	switch {
	case cfg.Help != "":
		fmt.Fprint(stdout, cfg.Help)
		return 0
	case cfg.Version:
		fmt.Fprintf(stdout, "Berth version %s, build %s\n", version, builtFrom())
		return 0
	case cfg.Validate:
		fmt.Fprintln(stdout, "configuration OK")
		return 0
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(stderr, "berthd: it needs root: run it with sudo")
		return 1
	}
	if os.Getpid() == 1 {
		code, err := initFor("/proc/self/exe", os.Args)
		if err != nil {
			fmt.Fprintf(stderr, "berthd: as process 1: %v\n", err)
		}
		return code
	}
	// Before the first request: net/http reads them once.
	for name, value := range cfg.Proxies.Environ() {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintf(stderr, "berthd: proxies: %v\n", err)
			return 1
		}
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Level())
	log := newLog(cfg.LogFormat, level, stderr)
	slog.SetDefault(log)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := &daemon{args: args, log: log, level: level}
	d.cfg.Store(cfg)
	defer d.handleSignals(cancel)()
	if err := d.run(ctx); err != nil {
		if cfg.LogFormat == "json" {
			log.Error("daemon failed", "error", err)
		} else {
			fmt.Fprintf(stderr, "berthd: %v\n", err)
		}
		return 1
	}
	return 0
}

func newLog(format string, level slog.Leveler, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// builtFrom is the commit this program was built from.
func builtFrom() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
