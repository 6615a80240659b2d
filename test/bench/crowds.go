package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// crowdStarts is of how many containers the latencies are taken in one go of a
// crowd, at least.
const crowdStarts = 32

// crowdOf is of how many containers n clients at once are measured.
func crowdOf(n int) int { return max(n, crowdStarts) }

// inASecond is the case of how many containers n clients at once run in a second.
func inASecond(n int) string { return fmt.Sprintf("API runs, %d at once, in a second", n) }

// crowdCase is the case of n clients at once.
func crowdCase(n int) benchCase {
	return benchCase{name: fmt.Sprintf("parallel: API runs, %d at once", n), many: crowd(n), floor: crowdOf(n), crowd: n}
}

// crowd runs containers, n at a time, each client the next as soon as its last
// has ended. It tells the latency of each, and how many there were in a second.
func crowd(n int) func(context.Context, *own, *target, func(name, unit string, value float64)) error {
	return func(ctx context.Context, _ *own, t *target, add func(name, unit string, value float64)) error {
		var mu sync.Mutex
		var each []float64
		took, err := timed(func() error {
			return inCrowd(ctx, crowdOf(n), n, func(ctx context.Context) error {
				ms, err := timed(func() error { return runOnce(ctx, t, "bridge") })
				mu.Lock()
				defer mu.Unlock()
				each = append(each, ms)
				return err
			})
		})
		if err != nil {
			return err
		}
		for _, ms := range each {
			add(fmt.Sprintf("API runs, %d at once, latency of each", n), "ms", ms)
		}
		add(inASecond(n), "/s", float64(len(each))/took*1000)
		return nil
	}
}

// inCrowd calls f so many times, from n clients.
func inCrowd(ctx context.Context, times, n int, f func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(n)
	for range times {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(ctx) })
	}
	return g.Wait()
}

// parallel is how long n containers take that are run at once.
func parallel(n int) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (float64, error) {
		return timed(func() error {
			return inCrowd(ctx, n, n, func(ctx context.Context) error { return runOnce(ctx, t, "bridge") })
		})
	}
}

// sustained is how many containers a second an engine runs over a long time, in
// which it has to refill whatever it had ready.
func sustained(times, n int) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (float64, error) {
		begin := time.Now()
		err := inCrowd(ctx, times, n, func(ctx context.Context) error { return runOnce(ctx, t, "bridge") })
		return float64(times) / time.Since(begin).Seconds(), err
	}
}
