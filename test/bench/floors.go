package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/berth-engine/berth/test/engine"
)

// floorName is the floor among the targets of a case.
const floorName = "floor"

// floored is what the floor program tells of n containers.
type floored struct {
	Times  []float64
	Took   float64 // all of them
	CPU    float64
	Kernel float64 // of CPU
	Phases []struct {
		Name  string
		Times []float64
	}
}

// floor runs the floor program for n containers, so many at once.
func (o *own) floor(ctx context.Context, n, atOnce int) (*floored, error) {
	bin, err := engine.Bin()
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "floor"), "-json", "-rootfs", o.rootfs,
		"-n", strconv.Itoa(n), "-at-once", strconv.Itoa(atOnce)).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return nil, err
	}
	f := new(floored)
	return f, json.Unmarshal(out, f)
}

// addFloor runs the floor beside a case and adds what it took. Where a case is of
// many containers in a row, the phases are noted, too.
func (o *own) addFloor(ctx context.Context, c benchCase, r *report) error {
	f, err := o.floor(ctx, c.floor, max(c.crowd, 1))
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	if c.crowd > 0 {
		perSecond := c
		if c.many != nil {
			perSecond = benchCase{name: inASecond(c.crowd), unit: "/s"}
		}
		r.add(perSecond, floorName, float64(c.floor)/f.Took*1000)
		return nil
	}
	if c.cpu {
		r.add(c, floorName, f.CPU)
		return nil
	}
	r.add(c, floorName, mean(f.Times))
	if c.floor < inARow {
		return nil
	}
	for _, p := range f.Phases {
		r.add(benchCase{name: "floor: " + p.Name, unit: c.unit}, floorName, median(p.Times))
	}
	return nil
}

func mean(samples []float64) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += s
	}
	return sum / float64(max(len(samples), 1))
}
