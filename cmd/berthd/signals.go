package main

import (
	"context"
	"net"
	"os"
	"os/signal"
	"runtime"

	names "github.com/moby/sys/signal"
)

// forceAfter is how many requests to end make the daemon give up on doing so
// cleanly.
const forceAfter = 3

// handleSignals ends the daemon on SIGTERM and SIGINT, reloads the configuration
// on SIGHUP, and logs all goroutines on SIGUSR1. The returned function ends the
// handling.
func (d *daemon) handleSignals(end context.CancelFunc) (stop func()) {
	term, intr, hup, usr1 := names.SignalMap["TERM"], names.SignalMap["INT"], names.SignalMap["HUP"], names.SignalMap["USR1"]
	signal.Ignore(names.SignalMap["PIPE"]) // a log reader that went away
	ch := make(chan os.Signal, 8)
	signal.Notify(ch, term, intr, hup, usr1)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		asked := 0
		for {
			select {
			case <-quit:
				return
			case sig := <-ch:
				switch sig {
				case hup:
					d.reload()
				case usr1:
					d.log.Info("goroutines", "stacks", stacks())
				default:
					asked++
					d.log.Info("stopping", "signal", sig.String())
					end()
					if asked >= forceAfter {
						d.log.Error("stopped by force", "signals", asked)
						os.Exit(1)
					}
				}
			}
		}
	}()
	return func() {
		signal.Stop(ch)
		close(quit)
		<-done
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// notify tells the service manager, if there is one, how far we are
// (sd_notify(3)).
func (d *daemon) notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		d.log.Warn("service manager not told", "state", state, "error", err)
		return
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		d.log.Warn("service manager not told", "state", state, "error", err)
	}
}
