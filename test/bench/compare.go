package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/berth-engine/berth/test/engine"
)

// compareOptions are those of -compare.
type compareOptions struct {
	bin       string  // folder with the programs of the other commit
	ref       string  // what it is called
	threshold float64 // a ratio that is above it, with confidence, fails
}

// errSlower says that this tree is slower than the other one.
var errSlower = errors.New("slower than the threshold allows")

// runCompare measures two builds of the engine and of berth-runtime beside each
// other. Whose turn is first changes from round to round.
func runCompare(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("start it as root: it runs private engines")
	}
	r := newReport(o)
	if err := compareEngines(ctx, o, r); err != nil {
		return err
	}
	if err := compareRuntimes(ctx, o, r); err != nil {
		return err
	}
	if o.out != "" {
		if err := r.save(o.out); err != nil {
			return err
		}
	}
	return r.compare(os.Stdout, o.compare)
}

// now is this tree's name in a comparison.
const now = "now"

func compareEngines(ctx context.Context, o options, r *report) (err error) {
	engines := make([]*own, 0, 2)
	defer func() {
		for _, e := range engines {
			err = errors.Join(err, e.removeAll(context.WithoutCancel(ctx)), e.close())
		}
	}()
	for name, bin := range orderly(o.compare) {
		e, err := startOwnOf(ctx, bin)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		e.name = name
		engines = append(engines, e)
	}
	for _, c := range cases {
		if !strings.Contains(c.name, o.only) || c.run == nil { // many figures of one round are no pairs
			continue
		}
		n := o.n
		if c.once {
			n = max(n/4, 3)
		}
		err := inTurns(n, func(i int) (string, float64, error) {
			value, err := c.sample(ctx, engines[i], engines[i].target)
			return engines[i].name, value, err
		}, func(name string, value float64) { r.add(c, name, value) })
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s done\n", c.name)
	}
	return nil
}

func compareRuntimes(ctx context.Context, o options, r *report) error {
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs, names := map[string]string{}, []string{}
	for name, bin := range orderly(o.compare) {
		if bin == "" {
			if bin, err = engine.Bin(); err != nil {
				return err
			}
		}
		programs[name] = filepath.Join(bin, "berth-runtime")
		names = append(names, name)
	}
	for _, c := range runtimeCases {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		if err := runtimeCase(ctx, o, dir, c.name, c.args, names, programs, r); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// orderly yields the two builds, the other commit's first: it is what ratios
// refer to.
func orderly(c compareOptions) func(yield func(name, bin string) bool) {
	return func(yield func(string, string) bool) {
		if yield(c.ref, c.bin) {
			yield(now, "")
		}
	}
}

// inTurns runs a pair n times and once before that to warm up; who is first
// changes each time.
func inTurns(n int, run func(i int) (string, float64, error), keep func(string, float64)) error {
	for round := -1; round < n; round++ {
		for i := range 2 {
			name, value, err := run((i + round + 1) % 2)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if round >= 0 {
				keep(name, value)
			}
		}
	}
	return nil
}

// resamples is how often a ratio is computed again from samples drawn anew.
const resamples = 2000

// interval is the ratio of the medians of two lists of samples that were taken in
// pairs, with the bounds between which it lies in 95 of 100 runs, by the
// bootstrap: rounds are drawn anew, with both samples of each, so that what
// slowed a round down slows both.
func interval(ref, now []float64) (ratio, low, high float64) {
	n := min(len(ref), len(now))
	ratio = median(now[:n]) / median(ref[:n])
	random := rand.New(rand.NewPCG(1, uint64(n))) // the same samples give the same answer
	ratios := make([]float64, resamples)
	a, b := make([]float64, n), make([]float64, n)
	for i := range ratios {
		for k := range n {
			at := random.IntN(n)
			a[k], b[k] = ref[at], now[at]
		}
		ratios[i] = median(b) / median(a)
	}
	slices.Sort(ratios)
	return ratio, quantile(ratios, 0.025), quantile(ratios, 0.975)
}

func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// compare prints the ratio of each case: of what a rate is the inverse, too, so that
// above 1 is worse. It is errSlower if one is above the threshold with all of its
// interval.
func (r *report) compare(w io.Writer, o compareOptions) (err error) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "CASE\tN\t%s\tNOW\tRATIO\t95 %%\tVERDICT\n", strings.ToUpper(o.ref))
	for _, c := range r.Cases {
		ref, mine := c.Samples[o.ref], c.Samples[now]
		ratio, low, high := interval(ref, mine)
		if strings.HasSuffix(c.Unit, "/s") {
			ratio, low, high = interval(mine, ref)
		}
		verdict := "the same"
		switch {
		case low > o.threshold:
			verdict = "SLOWER"
			err = errSlower
		case low > 1:
			verdict = "slower, below the threshold"
		case high < 1:
			verdict = "faster"
		}
		if c.Unit == "MB" {
			verdict = strings.NewReplacer("SLOWER", "LARGER", "slower", "larger", "faster", "smaller").Replace(verdict)
		}
		fmt.Fprintf(tw, "%s\t%d\t%.2f %s\t%.2f %s\t%.3f\t%.3f-%.3f\t%s\n", c.Name, len(mine), median(ref), c.Unit, median(mine), c.Unit, ratio, low, high, verdict)
	}
	return errors.Join(tw.Flush(), err)
}
