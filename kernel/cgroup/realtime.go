package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
)

// defaultRealtimePeriod is that of a new group, in microseconds.
const defaultRealtimePeriod = 1000000

// realtime is held while groups get real-time: what one takes, the next one must
// see.
var realtime sync.Mutex

// allowRealtime gives the groups above g as much real-time as g is to have,
// besides what their other groups have: in v1, a group has none until it is
// given some, and its groups together no more than itself. The caller holds
// realtime until g has it.
func (g *Group) allowRealtime(c *cgroups.Resources) error {
	if g.host.mode == V2 || c.CpuRtRuntime <= 0 {
		return nil
	}
	period := c.CpuRtPeriod
	if period == 0 {
		period = defaultRealtimePeriod
	}
	root, dir := g.host.dirs["cpu"], g.dirs["cpu"]
	var above []string // the highest first
	for p := filepath.Dir(dir); len(p) >= len(root); p = filepath.Dir(p) {
		above = append([]string{p}, above...)
		if p == root {
			break
		}
	}
	for _, p := range above {
		if err := raiseRealtime(p, c.CpuRtRuntime, period); err != nil {
			return fmt.Errorf("cgroup %s: no real-time of %d µs in %d µs can be given to %s: %w: %w", g.name, c.CpuRtRuntime, period, p, err, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// raiseRealtime makes sure that a group has runtime of each period besides what
// the groups in it have.
func raiseRealtime(dir string, runtime int64, period uint64) error {
	have, own, err := realtimeOf(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	need := share(runtime, period, own)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		r, p, err := realtimeOf(filepath.Join(dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // it has just gone
		}
		if err != nil {
			return err
		}
		if r > 0 {
			need += share(r, p, own)
		}
	}
	if have < 0 || have >= need { // -1: as much as there is
		return nil
	}
	return write(dir, "cpu.rt_runtime_us", strconv.FormatInt(need, 10))
}

// share is a runtime of one period, rounded up, in another.
func share(runtime int64, period, other uint64) int64 {
	if period == 0 {
		return runtime
	}
	return (runtime*int64(other) + int64(period) - 1) / int64(period)
}

func realtimeOf(dir string) (runtime int64, period uint64, err error) {
	text := func(file string) string {
		b, e := os.ReadFile(filepath.Join(dir, file))
		err = errors.Join(err, e)
		return strings.TrimSpace(string(b))
	}
	r, p := text("cpu.rt_runtime_us"), text("cpu.rt_period_us")
	if err != nil {
		return 0, 0, err
	}
	if runtime, err = strconv.ParseInt(r, 10, 64); err != nil {
		return 0, 0, err
	}
	period, err = strconv.ParseUint(p, 10, 64)
	return runtime, period, err
}
