package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"

	bkexecutor "github.com/moby/buildkit/executor"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/sandbox"
)

// stdStream is what carries a process's standard streams.
type stdStream interface {
	Next() (stream byte, data []byte, err error)
	Write(p []byte) (int, error)
	CloseWrite() error
	Close() error
}

// controlled is a process that can be resized and signalled.
type controlled interface {
	Resize(ctx context.Context, rows, cols uint16) error
	Signal(ctx context.Context, sig syscall.Signal) error
}

// copying is the traffic of one process. It ends with the stream's output.
type copying struct{ done chan struct{} }

// pump copies output to the build and input to the process, and passes signals
// and sizes on, until the output ends.
func pump(ctx context.Context, s stdStream, p bkexecutor.ProcessInfo, c controlled) *copying {
	out := &copying{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(ctx)
	if p.Stdin != nil {
		go func() {
			_, _ = io.Copy(writerOnly{s}, p.Stdin) // its end is the process's business
			_ = s.CloseWrite()
		}()
	}
	var control sync.WaitGroup
	control.Go(func() { obey(ctx, p, c) })
	go func() {
		defer close(out.done)
		defer control.Wait()
		defer cancel()
		for {
			stream, data, err := s.Next()
			if err != nil {
				return
			}
			to := p.Stdout
			if stream == 2 && !p.Meta.Tty {
				to = p.Stderr
			}
			if to != nil {
				_, _ = to.Write(data) // a build that is not read runs on
			}
		}
	}()
	return out
}

type writerOnly struct{ io.Writer }

func obey(ctx context.Context, p bkexecutor.ProcessInfo, c controlled) {
	signals, sizes := p.Signal, p.Resize
	for {
		select {
		case <-ctx.Done():
			return
		case sig, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			_ = c.Signal(ctx, sig) // it may have ended
		case size, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			_ = c.Resize(ctx, uint16(size.Rows), uint16(size.Cols)) //nolint:gosec // a terminal's
		}
	}
}

// await waits for a step's end, or ends it when the build is cancelled, and for
// its output.
func (x *Executor) await(ctx context.Context, s *step, io *copying) (code int, err error) {
	exit, err := s.box.Wait(ctx)
	if err != nil {
		if ctx.Err() == nil {
			return 0, err
		}
		if err := s.box.Kill(context.WithoutCancel(ctx)); err != nil {
			return 0, err
		}
		final, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if exit, err = s.box.Wait(final); err != nil {
			return 0, err
		}
	}
	<-io.done
	return exit.Code, nil
}

// exitError is nil for a status that is wanted.
func exitError(ctx context.Context, code int, valid []int) error {
	if len(valid) == 0 {
		valid = []int{0}
	}
	if slices.Contains(valid, code) {
		return nil
	}
	err := &gatewayapi.ExitError{ExitCode: uint32(code), Err: fmt.Errorf("exit code: %d", code)} //nolint:gosec // 0 to 255
	if ctx.Err() != nil {
		err.Err = context.Cause(ctx)
	}
	return err
}

// startError is for a program that could not be executed.
func startError(root *os.File, p *specs.Process, err error) error {
	err = spec.ExplainStart(root, p, err)
	if failed, ok := errors.AsType[*sandbox.StartError](err); ok {
		return &gatewayapi.ExitError{ExitCode: uint32(failed.ExitCode), Err: failed} //nolint:gosec // 126 or 127
	}
	return err
}
