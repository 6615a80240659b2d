package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/test/engine"
)

// buildFile is a build as people have them: things that seldom change first, a
// command that needs them, the application, a command for it. Steps need no
// network, which the other engine has none of here.
const buildFile = `FROM busybox
COPY deps /deps
RUN cat /deps/* | md5sum >/deps.sum
RUN mkdir -p /app && touch /app/made
COPY app /app
RUN cat /app/* | md5sum >/app.sum
CMD ["cat", "/app.sum"]
`

// runBuilds measures builds by one client, buildx, on our engine and on Docker's.
func runBuilds(ctx context.Context, o options) (err error) {
	own, err := startOwn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.close()) }()
	docker, err := startDockerd(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, docker.close()) }()
	b := &builds{dir: filepath.Join(own.dir, "context"), tar: filepath.Join(own.dir, "busybox.tar")}
	if err := b.prepare(ctx, own, docker); err != nil {
		return err
	}
	report := newReport(o)
	for _, c := range b.cases() {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		for i := -1; i < o.n; i++ { // the first round warms up and is not kept
			for _, t := range []*target{own.target, docker.target} {
				value, err := c.run(ctx, own, t)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", c.name, t.name, err)
				}
				if i >= 0 {
					report.add(c, t.name, value)
				}
			}
		}
	}
	report.print(os.Stdout)
	if o.out != "" {
		return report.save(o.out)
	}
	return nil
}

// builds is the context of a build, and what changes in it.
type builds struct {
	dir, tar string
	client   string // berth-build
	changes  int
}

// prepare writes the context and gives both engines the base image.
func (b *builds) prepare(ctx context.Context, own *own, docker *peer) error {
	if err := b.fill(); err != nil {
		return err
	}
	if err := own.command(ctx, own.cli, "save", "-o", b.tar, "busybox"); err != nil {
		return err
	}
	return docker.command(ctx, docker.cli, "load", "-q", "-i", b.tar)
}

// fill writes the context and finds the client.
func (b *builds) fill() error {
	bin, err := engine.Bin()
	if err != nil {
		return err
	}
	b.client = filepath.Join(bin, "berth-build")
	big := make([]byte, 256<<10)
	for i := range 40 {
		if _, err := rand.Read(big); err != nil {
			return err
		}
		if err := b.write(fmt.Sprintf("deps/%d", i), big); err != nil {
			return err
		}
		if err := b.write(fmt.Sprintf("app/%d", i), big[:4<<10]); err != nil {
			return err
		}
	}
	return b.write("Dockerfile", []byte(buildFile))
}

// args are those of a build with some flags.
func (b *builds) args(flags ...string) []string {
	return append(append([]string{"build", "--provenance=false", "--network=none", "-t", "bench"}, flags...), b.dir)
}

// build builds once.
func (b *builds) build(ctx context.Context, t *target, flags ...string) error {
	return t.command(ctx, b.client, b.args(append(flags, "-q")...)...)
}

// change changes one file.
func (b *builds) change() error {
	b.changes++
	return b.write("app/0", fmt.Appendf(nil, "change %d", b.changes))
}

func (b *builds) write(name string, data []byte) error {
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func (b *builds) cases() []benchCase {
	build := func(ctx context.Context, t *target, flags ...string) (float64, error) {
		return timed(func() error { return b.build(ctx, t, flags...) })
	}
	return []benchCase{
		{name: "build, nothing cached", unit: "ms", run: func(ctx context.Context, _ *own, t *target) (float64, error) {
			if err := t.command(ctx, b.client, "prune", "-af"); err != nil {
				return 0, err
			}
			return build(ctx, t, "--no-cache")
		}},
		{name: "build, all cached (goal: 100 ms)", unit: "ms", run: func(ctx context.Context, _ *own, t *target) (float64, error) {
			return build(ctx, t)
		}},
		{name: "build, one file changed (goal: half of Docker's)", unit: "ms", run: func(ctx context.Context, _ *own, t *target) (float64, error) {
			if err := b.change(); err != nil {
				return 0, err
			}
			return build(ctx, t)
		}},
	}
}
