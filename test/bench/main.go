// Command bench measures what a user waits for: the same work through any
// Engine API socket and through any command line client, interleaved, so that
// the noise of the machine falls on all alike. It prints min, median, p90 and
// the ratio to the first target, and keeps the raw samples as JSON;
// docs/benchmarks.md is rendered from those files alone.
//
//	bench [-n 20] [-private docker,podman] [-peers name=unix:///path,…] [-out docs/benchmarks/x.json] (make bench-peers)
//	bench -runtimes runc,crun [-n 40] [-out docs/benchmarks/y.json]
//	bench -compare FOLDER [-ref NAME] [-threshold 1.05] [-n 40] (make bench-compare REF=COMMIT)
//	bench -budget test/bench/budget.txt [-update]
//	bench -phases [-n 10] [-out docs/benchmarks/v.json]
//	bench -builds [-n 10] [-out docs/benchmarks/w.json]
//	bench -images [-size 500] [-n 5] [-only pull|load|save|push|disk] [-out docs/benchmarks/i.json]
//	bench -limits [-only fleet|health|logs|attach|net…] [-bytes N] [-out docs/benchmarks/z.json]
//	bench -render docs/benchmarks > docs/benchmarks.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.IntVar(&o.n, "n", 20, "samples of each case")
	flag.StringVar(&o.peers, "peers", os.Getenv("PEERS"), "other engines, name=unix:///socket, comma separated")
	flag.StringVar(&o.private, "private", "", "other engines to start for this run (\"docker,podman\"), as Debian has them")
	flag.StringVar(&o.out, "out", "", "file for the raw samples (JSON)")
	flag.StringVar(&o.image, "image", "busybox", "image with a program `true`; peers must have it")
	flag.StringVar(&o.only, "only", "", "run only the cases whose name contains this")
	flag.StringVar(&o.commit, "commit", "unknown", "the commit that is measured")
	flag.StringVar(&o.runtimes, "runtimes", "", "measure berth-runtime against these OCI runtimes (\"runc,crun\") and no engine")
	flag.StringVar(&o.budget, "budget", "", "count system calls and compare with the budgets in this `file`")
	flag.BoolVar(&o.update, "update", false, "-budget: write the file")
	flag.StringVar(&o.compare.bin, "compare", "", "measure the programs in this folder, of another commit, beside ours")
	flag.StringVar(&o.compare.ref, "ref", "ref", "-compare: what the other commit is called")
	flag.Float64Var(&o.compare.threshold, "threshold", 1.05, "-compare: fail if a case takes more than this times the other's, with confidence")
	flag.BoolVar(&o.phases, "phases", false, "tell where the time of a container's life goes, in the engine and in the kernel")
	flag.BoolVar(&o.builds, "builds", false, "measure builds, beside a private dockerd")
	flag.BoolVar(&o.images.on, "images", false, "measure how images are moved, beside a private dockerd and skopeo")
	flag.Int64Var(&o.images.mb, "size", 500, "-images: MB of the image, unpacked")
	flag.BoolVar(&o.limits.on, "limits", false, "measure what must hold with many containers and much output, and no peers")
	flag.IntVar(&o.limits.stopped, "stopped", 1000, "-limits: containers that do not run")
	flag.IntVar(&o.limits.running, "running", 300, "-limits: containers that do")
	flag.IntVar(&o.limits.checked, "checked", 200, "-limits: containers with a health check each second")
	flag.DurationVar(&o.limits.watch, "watch", 20*time.Second, "-limits: for how long the CPU of health checks is counted")
	flag.Int64Var(&o.limits.bytes, "bytes", 1<<30, "-limits: how much output is moved")
	flag.IntVar(&o.limits.seconds, "seconds", 2, "-limits: length of each sample of traffic")
	flag.IntVar(&o.limits.networks, "networks", 10000, "-limits: how many networks are made")
	flag.IntVar(&o.limits.churning, "churning", 300, "-limits: how many containers join and leave networks, for -watch")
	o.limits.beside = []int{1, 100, 500}
	flag.Func("beside", "-limits: how many containers run while others start (default \"1,100,500\")", func(s string) (err error) {
		o.limits.beside, err = numbers(s)
		return err
	})
	flag.BoolVar(&o.limits.stalled, "stalled", false, "-limits -only logs: leave out the run without a reader (for -bytes 10737418240)")
	render := flag.String("render", "", "render the samples in this folder as Markdown and end")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := func() error {
		if *render != "" {
			return renderFolder(os.Stdout, *render)
		}
		if o.budget != "" {
			return runBudget(ctx, o)
		}
		if o.compare.bin != "" {
			return runCompare(ctx, o)
		}
		if o.limits.on {
			return runLimits(ctx, o)
		}
		if o.images.on {
			return runImages(ctx, o)
		}
		if o.phases {
			return runPhases(ctx, o)
		}
		if o.builds {
			return runBuilds(ctx, o)
		}
		if o.runtimes != "" {
			return runRuntimes(ctx, o)
		}
		return run(ctx, o)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func numbers(s string) (out []int, err error) {
	for word := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

type options struct {
	n                               int
	peers, out, image, only, commit string
	runtimes, private, budget       string
	update                          bool
	builds, phases                  bool
	images                          imageOptions
	limits                          limitOptions
	compare                         compareOptions
}

func run(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("start it as root: it runs a private engine")
	}
	own, err := startOwn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, own.removeAll(context.WithoutCancel(ctx)), own.close())
	}()
	targets := []*target{own.target}
	for spec := range strings.SplitSeq(o.peers, ",") {
		if spec == "" {
			continue
		}
		t, err := newPeer(spec, o.image)
		if err != nil {
			return err
		}
		targets = append(targets, t)
	}
	private, err := startPeers(ctx, o.private, own)
	if err != nil {
		return err
	}
	for _, p := range private {
		defer func() { err = errors.Join(err, p.close()) }()
		targets = append(targets, p.target)
	}
	report := newReport(o)
	if err := measure(ctx, o, own, targets, report); err != nil {
		return err
	}
	report.print(os.Stdout)
	if o.out != "" {
		return report.save(o.out)
	}
	return nil
}

// measure runs every case n times, each time on every target in turn.
func measure(ctx context.Context, o options, own *own, targets []*target, r *report) error {
	for _, c := range cases {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		n := o.n
		if c.once {
			n = min(n, 5)
		}
		for i := -1; i < n; i++ { // the first round warms up and is not kept
			for _, t := range targets {
				if c.own && t != own.target || c.cpu && t.meter == nil {
					continue
				}
				if err := c.on(ctx, own, t, r, i >= 0); err != nil {
					err = fmt.Errorf("%s on %s: %w", c.name, t.name, err)
					if t == own.target || ctx.Err() != nil {
						return err
					}
					r.leaveOut(err)
				}
			}
			if c.floor > 0 && i >= 0 {
				time.Sleep(between)
				if err := own.addFloor(ctx, c, r); err != nil {
					return err
				}
			}
		}
		fmt.Fprintf(os.Stderr, "bench: %s done\n", c.name)
	}
	return nil
}

// between is the pause before each sample: the kernel takes apart what the one
// before has left, for a while and under locks that everybody needs, and an engine
// gets ready what it had ready.
const between = 100 * time.Millisecond

// sample runs a case once, after a pause.
func (c benchCase) sample(ctx context.Context, own *own, t *target) (float64, error) {
	time.Sleep(between)
	return c.run(ctx, own, t)
}

// on runs a case once on a target; keep: what it says is wanted.
func (c benchCase) on(ctx context.Context, own *own, t *target, r *report, keep bool) error {
	add := func(name, unit string, value float64) {
		if keep {
			r.add(benchCase{name: name, unit: unit}, t.name, value)
		}
	}
	if c.many != nil {
		return c.many(ctx, own, t, add)
	}
	value, err := c.sample(ctx, own, t)
	if err == nil {
		add(c.name, c.unit, value)
	}
	return err
}
