// One thread is asked for by the environment; the runtime must not keep a
// descriptor on the group's cpu.max to find out how many the group allows.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command berth-sandbox is what runs beside and inside every container: its
// monitor, and the first stage of its process 1. It is started by berthd and
// by itself, never by hand; os.Args[0] says as what.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/berth-engine/berth/sandbox/monitor"
	"github.com/berth-engine/berth/sandbox/stage"
)

// What names the process (PR_SET_NAME) and what becomes a container's process 1
// must run on the first thread. Only here can the first goroutine be held to it.
func init() { runtime.LockOSThread() }

func main() {
	if stage.IsStage() {
		stage.Main()
	}
	if err := monitor.Main(); err != nil {
		fmt.Fprintf(os.Stderr, "berth-sandbox: %v\n", err)
		os.Exit(1)
	}
}
