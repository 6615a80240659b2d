package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"github.com/berth-engine/berth/cli/stream"
	mobysignal "github.com/moby/sys/signal"
)

// Build says which program this is; cmd/berth fills it in.
type Build struct {
	Version string
	Commit  string
	Time    string
}

// Main runs one command line, without the program's name, and returns the
// exit status: 0, the container's own, 125 to 127 for what kept a container
// from running, 128+n when signal n ended the command, 1 for other errors.
func Main(ctx context.Context, args []string, io *stream.IO, b Build) int {
	// A command line ends before its garbage matters.
	debug.SetGCPercent(400)
	ctx, caught, stop := untilSignal(ctx)
	defer stop()
	s := &Session{IO: io, Build: b, began: time.Now()}
	defer s.close()
	root := newRoot(s, args)
	root.SetArgs(args)
	root.SetIn(io.In)
	root.SetOut(io.Out)
	root.SetErr(io.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if n := caught(); n != 0 && errors.Is(err, context.Canceled) {
		return 128 + n
	}
	if text := s.explain(err).Error(); text != "" {
		fmt.Fprintln(io.Err, text)
	}
	if st, ok := errors.AsType[*statusError](err); ok {
		return st.code
	}
	return 1
}

// untilSignal ends the context at the first SIGINT, SIGTERM or SIGHUP. A
// SIGHUP that is ignored, as under nohup, stays ignored.
func untilSignal(parent context.Context) (ctx context.Context, caught func() int, stop func()) {
	signals := []os.Signal{os.Interrupt, mobysignal.SignalMap["TERM"]}
	if hup := mobysignal.SignalMap["HUP"]; !signal.Ignored(hup) {
		signals = append(signals, hup)
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, signals...)
	ctx, cancel := context.WithCancel(parent)
	first := make(chan int, 1)
	go func() {
		select {
		case sig := <-c:
			first <- signalNumber(sig)
			cancel()
		case <-ctx.Done():
		}
	}()
	caught = func() int {
		select {
		case n := <-first:
			return n
		default:
			return 0
		}
	}
	return ctx, caught, func() { signal.Stop(c); cancel() }
}

func signalNumber(sig os.Signal) int {
	for _, n := range mobysignal.SignalMap {
		if n == sig {
			return int(n)
		}
	}
	return 0
}
