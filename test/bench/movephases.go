package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tracedImage is how large the image is whose pull is traced.
const tracedImage = 64 << 20

var (
	pullTraces = map[string]string{"POST /images/create": "pull"}
	stepTraces = map[string]string{"build step": "step"}
)

// movePhases prepares the parts of runPhases that pull an image and build one.
func (o *own) movePhases(ctx context.Context) (list []func(context.Context, *report) error, err error) {
	build := &builds{dir: filepath.Join(o.dir, "context")}
	if err := build.fill(); err != nil {
		return nil, err
	}
	if err := build.build(ctx, o.target); err != nil { // what it keeps is there before the image comes and goes
		return nil, err
	}
	image := &images{own: o, dir: filepath.Join(o.dir, "images")}
	if err := image.prepare(ctx, tracedImage); err != nil {
		return nil, err
	}
	return []func(context.Context, *report) error{image.phases, func(ctx context.Context, r *report) error { return build.phases(ctx, o, r) }}, nil
}

// phases is a pull from the Hub, with the floor beside: the same layers, from files.
func (b *images) phases(ctx context.Context, r *report) error {
	if err := errors.Join(b.removeOwn(ctx), writtenOut(b.dir)); err != nil {
		return err
	}
	programs, kernel, err := processParts(b.own.hub.Pid())
	if err != nil {
		return err
	}
	c := benchCase{name: "pull and unpack, traced", unit: "ms"}
	err = b.own.split(ctx, r, "pull", 1, func() error {
		ms, err := timed(func() error { return b.own.command(ctx, b.own.cli, "pull", "-q", b.name) })
		r.add(c, b.own.name, ms)
		return err
	})
	if err != nil {
		return err
	}
	programsAfter, kernelAfter, err := processParts(b.own.hub.Pid())
	if err != nil {
		return err
	}
	r.add(benchCase{name: "pull" + inPrograms, unit: "ms"}, "Hub", programsAfter-programs)
	r.add(benchCase{name: "pull" + inKernel, unit: "ms"}, "Hub", kernelAfter-kernel)
	if err := b.own.addPhases(ctx, r, pullTraces); err != nil {
		return err
	}
	if err := errors.Join(b.removeOwn(ctx), writtenOut(b.dir)); err != nil {
		return err
	}
	cost, state, err := b.floorOf(ctx)
	if err != nil {
		return err
	}
	r.add(c, floorName, inMS(cost.wall))
	r.add(benchCase{name: "pull" + inPrograms, unit: "ms"}, floorName, inMS(state.UserTime()))
	r.add(benchCase{name: "pull" + inKernel, unit: "ms"}, floorName, inMS(state.SystemTime()))
	return nil
}

// phases is a build with one file changed, in the parts that its progress tells.
func (b *builds) phases(ctx context.Context, o *own, r *report) error {
	if err := b.change(); err != nil {
		return err
	}
	var (
		began, ended time.Time
		out          []byte
		client       *os.ProcessState
	)
	const name = "build, one file changed"
	err := o.split(ctx, r, name, 1, func() (err error) {
		cmd := exec.CommandContext(ctx, b.client, b.args("--progress", "rawjson")...)
		cmd.Env = append(os.Environ(), "BERTH_HOST="+o.host, "DOCKER_HOST="+o.host)
		began = time.Now()
		out, err = cmd.CombinedOutput()
		ended, client = time.Now(), cmd.ProcessState
		return err
	})
	if err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	r.add(benchCase{name: name + ", traced", unit: "ms"}, o.name, inMS(ended.Sub(began)))
	r.add(benchCase{name: name + inPrograms, unit: "ms"}, "client", inMS(client.UserTime()))
	r.add(benchCase{name: name + inKernel, unit: "ms"}, "client", inMS(client.SystemTime()))
	parts, err := buildParts(out, began, ended)
	if err != nil {
		return err
	}
	for _, p := range parts {
		r.add(benchCase{name: "build: " + p.name, unit: "ms"}, o.name, inMS(p.took))
	}
	return o.addPhases(ctx, r, stepTraces)
}

// buildPart is a part of a build.
type buildPart struct {
	name string
	took time.Duration
}

// buildParts reads them from the progress that a client prints, a JSON object in
// each line: a part ends when a step does that was not cached, and begins where the
// one before has ended.
func buildParts(out []byte, began, ended time.Time) (parts []buildPart, err error) {
	type span struct {
		Digest, ID, Vertex, Name string
		Started, Completed       *time.Time
		Cached                   bool
	}
	spans := map[string]span{}
	for line := range bytes.Lines(out) {
		var p struct{ Vertexes, Statuses []span }
		if !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		if err := json.Unmarshal(line, &p); err != nil {
			return nil, fmt.Errorf("progress %q: %w", line, err)
		}
		for _, v := range p.Vertexes {
			spans[v.Digest] = v
		}
		for _, s := range p.Statuses {
			if s.Name = s.ID; strings.HasPrefix(s.ID, "exporting ") || strings.HasPrefix(s.ID, "naming ") {
				spans[s.Vertex+s.ID] = s
			}
		}
	}
	var list []span
	for _, s := range spans {
		if s.Started != nil && s.Completed != nil && !s.Cached {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("the build's progress tells of no step")
	}
	first := *slices.MinFunc(list, func(a, b span) int { return a.Started.Compare(*b.Started) }).Started
	parts = append(parts, buildPart{"the client starts, its session begins", first.Sub(began)})
	slices.SortFunc(list, func(a, b span) int { return cmp.Or(a.Completed.Compare(*b.Completed), strings.Compare(a.Name, b.Name)) })
	for _, s := range list {
		name, _, _ := strings.Cut(strings.ReplaceAll(s.Name, "@", " "), " sha256:")
		name, _, _ = strings.Cut(name, " |") // it is for a table
		if took := s.Completed.Sub(first); took > 0 {
			parts = append(parts, buildPart{name, took})
			first = *s.Completed
		}
	}
	return append(parts, buildPart{"the record of the build, the client ends", ended.Sub(first)}), nil
}

func inMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
