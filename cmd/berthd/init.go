package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/berth-engine/berth/kernel/task"
)

// initFor runs a program as its child, passes signals on to it, and returns its exit
// status. It is what berthd does for itself as process 1, as in a container without
// an init: orphans come to process 1, and the pid namespace of a container does not
// end before somebody has reaped those that are in it (pid_namespaces(7)). The engine
// could not, since it waits for certain children.
func initFor(program string, args []string) (status int, err error) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	pid, err := syscall.ForkExec(program, args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return 1, err
	}
	go task.PassOn(signals, pid)
	return task.ReapUntil(pid), nil
}
