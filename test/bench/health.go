package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/test/engine"
)

// clockTick is USER_HZ, in which the kernel counts the time of processes for
// everybody (proc(5)).
const clockTick = 100

// healthChecks counts the processor time of the engine, its monitors and the
// checks' processes while many containers are checked each second; then that of
// a program that does nothing but enter the same namespaces, fork and execute
// the same command at the same rate.
func healthChecks(ctx context.Context, o options, own *own, r *report) error {
	l := o.limits
	check := &container.HealthConfig{Test: []string{"CMD", "/bin/true"}, Interval: time.Second, Retries: 3}
	var pids []string
	for range l.checked {
		id, _, err := asleep(ctx, own.target, check)
		if err != nil {
			return err
		}
		c, err := own.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		if err != nil {
			return err
		}
		pids = append(pids, strconv.Itoa(c.Container.State.Pid))
	}
	name := benchCase{name: fmt.Sprintf("CPU for %d health checks a second (goal: 1.5 × the floor)", l.checked), unit: "% of a core"}
	for range min(o.n, 3) {
		before, err := engineCPU()
		if err != nil {
			return err
		}
		begin := time.Now()
		if err := sleep(ctx, l.watch); err != nil {
			return err
		}
		after, err := engineCPU()
		if err != nil {
			return err
		}
		r.add(name, own.name, 100*(after-before).Seconds()/time.Since(begin).Seconds())
	}
	bin, err := engine.Bin()
	if err != nil {
		return err
	}
	// Without the daemon there are no checks, and the containers live on for the
	// floor.
	if err := own.daemon.Stop(); err != nil {
		return err
	}
	for range min(o.n, 3) {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "floor"), "-probe", strings.Join(pids, ","), "-for", l.watch.String())
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		var percent float64
		if err := json.Unmarshal(out, &percent); err != nil {
			return err
		}
		r.add(name, "floor", percent)
	}
	return own.start(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// engineCPU is the processor time that the engine's processes have taken, with
// that of their children that have ended.
func engineCPU() (time.Duration, error) { return processorTime(ofEngine) }

// ofEngine tells whether a program is one of the engine's.
func ofEngine(program string) bool {
	return strings.HasPrefix(program, "berth") && program != "berth-hub"
}

// trafficCPU is the same for all that moves traffic in a measurement: the engine,
// iperf3, and this program, which is client and server. What the kernel does for
// packets counts for who runs when they come.
func trafficCPU() (time.Duration, error) {
	self := filepath.Base(os.Args[0])
	return processorTime(func(program string) bool { return ofEngine(program) || program == "iperf3" || program == self })
}

func processorTime(counts func(program string) bool) (time.Duration, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, name := range names {
		args, err := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		first, _, _ := strings.Cut(string(args), "\x00")
		if program := filepath.Base(first); err != nil || !counts(program) {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		for _, s := range f[11:15] { // utime stime cutime cstime
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / clockTick, nil
}
