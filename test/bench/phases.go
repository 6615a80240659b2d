package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/api"
)

// Traces, as the engine calls them, and what they are called here.
var (
	// lifeTraces are the requests of a container's life, and what the engine does by
	// itself.
	lifeTraces = map[string]string{
		"POST /containers/create":     "create",
		"POST /containers/{id}/start": "start",
		"container exit":              "exit",
		"DELETE /containers/{id}":     "remove",
	}
	execTraces = map[string]string{
		"POST /containers/{id}/exec": "exec create",
		"POST /exec/{id}/start":      "exec start",
		"GET /exec/{id}/json":        "exec inspect",
	}
)

// The parts of processor time; their cases begin with what used it.
const (
	inPrograms = ", processor time in programs"
	inKernel   = ", processor time in the kernel"
)

// runPhases tells where the time of a container's life goes, that of a further
// process, of the command line, of a pull and of a build: it has the engine trace itself, and counts
// what is used in the kernel. Floors are measured beside.
func runPhases(ctx context.Context, o options) (err error) {
	own, err := startOwnWith(ctx, "", []string{"BERTH_TRACE=1"}, "--image-compact-after", "0s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.removeAll(context.WithoutCancel(ctx)), own.close()) }()
	parts := []func(context.Context, *report) error{own.lifePhases, own.execPhases, own.clientPhases}
	moved, err := own.movePhases(ctx)
	if err != nil {
		return err
	}
	parts = append(parts, moved...)
	all := newReport(o)
	// Traces are remembered of that many, and the first round warms up.
	for i := range min(o.n, 10) + 1 {
		to := all
		if i == 0 {
			to = newReport(o)
		}
		for _, part := range parts {
			if err := part(ctx, to); err != nil {
				return err
			}
		}
	}
	all.print(os.Stdout)
	if o.out != "" {
		return all.save(o.out)
	}
	return nil
}

// split runs do, n times what a case is about, and adds what it has used of the
// processor in programs and in the kernel, for each.
func (o *own) split(ctx context.Context, r *report, what string, n int, do func() error) error {
	programs, kernel, err := o.meter.parts()
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if _, err := o.meter.quietly(ctx); err != nil {
		return err
	}
	programsAfter, kernelAfter, err := o.meter.parts()
	r.add(benchCase{name: what + inPrograms, unit: "ms"}, o.name, (programsAfter-programs)/float64(n))
	r.add(benchCase{name: what + inKernel, unit: "ms"}, o.name, (kernelAfter-kernel)/float64(n))
	return err
}

// lifePhases is the life of containers by the API, with the floor beside.
func (o *own) lifePhases(ctx context.Context, r *report) error {
	c := benchCase{name: "API run, each, traced", unit: "ms", floor: inARow}
	err := o.split(ctx, r, "API run", inARow, func() error {
		ms, err := backToBack(inARow)(ctx, o, o.target)
		r.add(c, o.name, ms)
		return err
	})
	if err != nil {
		return err
	}
	if err := o.addPhases(ctx, r, lifeTraces); err != nil {
		return err
	}
	f, err := o.floor(ctx, inARow, 1)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	r.add(c, floorName, mean(f.Times))
	r.add(benchCase{name: "API run" + inPrograms, unit: "ms"}, floorName, f.CPU-f.Kernel)
	r.add(benchCase{name: "API run" + inKernel, unit: "ms"}, floorName, f.Kernel)
	for _, p := range f.Phases {
		r.add(benchCase{name: "floor: " + p.Name, unit: "ms"}, floorName, median(p.Times))
	}
	return nil
}

// execPhases is that of further processes by the API.
func (o *own) execPhases(ctx context.Context, r *report) (err error) {
	created, err := o.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: o.image, Cmd: []string{"sleep", "1000"}}, HostConfig: o.hostConfig(),
	})
	if err != nil {
		return err
	}
	defer func() {
		_, e := o.client.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true})
		err = errors.Join(err, e)
	}()
	if _, err := o.client.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return err
	}
	err = o.split(ctx, r, "API exec", inARow, func() error {
		ms, err := timed(func() error {
			for range inARow {
				if err := execOnce(ctx, o.target, created.ID); err != nil {
					return err
				}
			}
			return nil
		})
		r.add(benchCase{name: "API exec, each, traced", unit: "ms"}, o.name, ms/inARow)
		return err
	})
	if err != nil {
		return err
	}
	return o.addPhases(ctx, r, execTraces)
}

// clientPhases is what the command line takes: one that asks nothing, which is its
// start, and one that runs a container; of the latter the client's own part.
func (o *own) clientPhases(ctx context.Context, r *report) error {
	for what, args := range map[string][]string{
		"client that asks nothing": {"run", "--help"},
		"client of run --rm":       {"run", "--rm", o.image, "true"},
	} {
		for range 5 {
			cmd := exec.CommandContext(ctx, o.cli, args...)
			cmd.Env = append(os.Environ(), "BERTH_HOST="+o.host, "DOCKER_HOST="+o.host)
			ms, err := timed(cmd.Run)
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			r.add(benchCase{name: what + ", from its start to its end", unit: "ms"}, o.name, ms)
			r.add(benchCase{name: what + inPrograms, unit: "ms"}, o.name, inMS(cmd.ProcessState.UserTime()))
			r.add(benchCase{name: what + inKernel, unit: "ms"}, o.name, inMS(cmd.ProcessState.SystemTime()))
		}
	}
	return nil
}

// addPhases adds the phases of the last traces of some names.
func (o *own) addPhases(ctx context.Context, r *report, names map[string]string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://berth/debug/trace", nil)
	if err != nil {
		return err
	}
	http := o.daemon.Client()
	defer http.CloseIdleConnections()
	resp, err := http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var traces []api.Trace
	if err := json.NewDecoder(resp.Body).Decode(&traces); err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	for _, t := range traces[max(0, len(traces)-5*inARow):] {
		name := names[t.Name]
		if name == "" {
			continue
		}
		r.add(benchCase{name: name + ": all", unit: "ms"}, o.name, t.Milliseconds)
		for _, p := range t.Phases {
			r.add(benchCase{name: name + ": " + p.Name, unit: "ms"}, o.name, p.Milliseconds)
		}
	}
	return nil
}
