// Command berth-netd holds the sockets of published ports, and the resolvers of
// containers, so that they outlive the engine. The engine starts it; see
// docs/contracts/netd.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/berth-engine/berth/network/netd"
)

// version is set by the linker.
var version = "unknown"

func main() {
	path := flag.String("socket", "", "path of the control socket")
	ready := flag.Int("ready-fd", -1, "descriptor to which \"ready\", or an error, is written")
	show := flag.Bool("version", false, "print the version and end")
	flag.Parse()
	if *show {
		fmt.Fprintln(os.Stdout, "berth-netd", version)
		return
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	// The engine's end, or that of its terminal, is not ours.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	say := func(string) {}
	if *ready >= 0 {
		syscall.CloseOnExec(*ready)
		f := os.NewFile(uintptr(*ready), "ready")
		say = func(text string) {
			_, _ = f.WriteString(text) // the engine may have ended
			f.Close()
		}
	}
	if err := run(ctx, *path, log, func() { say("ready") }); err != nil {
		say(err.Error())
		fmt.Fprintln(os.Stderr, "berth-netd:", err)
		os.Exit(1)
	}
}

// run takes over from a server that listens on the socket, if there is one.
// The new socket replaces the old in one step, so that there is always one to
// connect to.
func run(ctx context.Context, path string, log *slog.Logger, ready func()) error {
	s := netd.NewServer(log)
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	defer os.Remove(fresh)
	if err := os.Chmod(fresh, 0o600); err != nil {
		return err
	}
	if old, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"}); err == nil {
		err := s.TakeOver(old)
		old.Close()
		if err != nil {
			return fmt.Errorf("take over: %w", err)
		}
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	ready()
	err = s.Run(ctx, l)
	if !s.Superseded() {
		os.Remove(path)
	}
	return err
}
