package lifecycle

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/stage"
)

// RunOptions say how a container is run.
type RunOptions struct {
	CreateOptions
	// Detach returns when the program runs.
	Detach bool
	// Keep leaves the container there when it has ended.
	Keep bool
	// NoSubreaper leaves orphans of the container to others.
	NoSubreaper bool
}

// Run makes a container and starts it. Without Detach it waits for its end,
// passes signals on to it, relays its terminal, removes it, and returns the
// exit status, which is 128+n after the signal n.
func (r *Root) Run(ctx context.Context, id string, o *RunOptions) (int, error) {
	m := &making{o: o.CreateOptions, detached: o.Detach}
	defer m.close()
	if !o.Detach && !o.NoSubreaper {
		if err := task.Subreaper(); err != nil {
			r.warn("%v", err)
		}
	}
	if err := m.make(ctx, r, id); err != nil {
		return -1, err
	}
	var relay *relay
	if m.process.Console != nil && !o.Detach {
		var err error
		if relay, err = newRelay(m.process.Console); err != nil {
			return -1, errors.Join(err, m.takeBack())
		}
		defer relay.close()
	}
	if err := m.process.Start(); err != nil {
		return -1, errors.Join(err, m.takeBack())
	}
	if err := m.c.write(); err != nil { // while the program begins
		return -1, errors.Join(err, m.takeBack())
	}
	if err := m.c.unlock(); err != nil { // others may exec, kill and delete it meanwhile
		return -1, errors.Join(err, m.takeBack())
	}
	if err := m.c.poststart(ctx); err != nil {
		return -1, errors.Join(err, m.takeBack())
	}
	if o.Detach {
		return 0, nil
	}
	return m.attend(ctx, relay, o.Keep)
}

// attend waits for the container's end and removes it, unless it is to be kept.
func (m *making) attend(ctx context.Context, relay *relay, keep bool) (int, error) {
	status := attend(m.process, relay)
	if keep {
		return status, nil
	}
	err := m.c.root.Delete(ctx, m.c.ID, true)
	if relay != nil {
		relay.drain()
	}
	return status, err
}

// takeBack removes a container that could not be started.
func (m *making) takeBack() error {
	m.process.Abandon()
	return m.c.destroy(context.Background()) // of what was done, whoever gave up waiting
}

// passedOn are the signals that people and programs send. Those of the kernel
// about ourselves are not among them.
var passedOn = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTERM, unix.SIGCONT,
	unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGIO, unix.SIGPWR,
}

// attend passes signals on to a child until it ends, and returns its exit
// status.
func attend(p *stage.Process, relay *relay) int {
	signals := make(chan os.Signal, 64)
	// Not before there is somebody to pass them on to: each one costs Go some
	// switches between threads.
	signal.Notify(signals, passedOn...)
	if relay != nil {
		signal.Notify(signals, unix.SIGWINCH)
	}
	// Nothing is undone: after the end, the caller only removes what is left,
	// which a signal is not to interrupt.
	ended := make(chan int, 1)
	go func() { ended <- task.ReapUntil(p.Pid) }()
	for {
		select {
		case status := <-ended:
			return status
		case s := <-signals:
			switch sig, _ := s.(syscall.Signal); sig {
			case unix.SIGWINCH:
				relay.resize()
			default:
				_ = ns.PidfdSignal(p.PidFD, sig) // it may have ended
			}
		}
	}
}
