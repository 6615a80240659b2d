package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// measured is what the floor took.
type measured struct {
	Times  []float64 `json:"times"`  // of each container, in ms
	Took   float64   `json:"took"`   // all of them, in ms
	CPU    float64   `json:"cpu"`    // of one: user and system time, of children too, in ms
	Kernel float64   `json:"kernel"` // the system part of that
	Phases []phase   `json:"phases"` // in order
}

// phase is a part of the time of each container.
type phase struct {
	Name  string    `json:"name"`
	Times []float64 `json:"times"` // in ms
}

// measure runs n containers, so many at once.
func measure(rootfs string, n, atOnce int) (m *measured, err error) {
	f, err := newFloor(rootfs)
	if err != nil {
		return nil, err
	}
	defer func() { err = f.close(err) }()
	m = &measured{Phases: make([]phase, phaseCount)}
	for i, name := range phaseNames {
		m.Phases[i].Name = name
	}
	before, system, err := processorTime()
	if err != nil {
		return nil, err
	}
	begin := now()
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(max(atOnce, 1))
	for range n {
		g.Go(func() error {
			begin := now()
			at, err := f.once()
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			m.Times = append(m.Times, float64(at[phaseTearDown]-begin)/1e6)
			for i, ms := range at.lengths(begin) {
				m.Phases[i].Times = append(m.Phases[i].Times, ms)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	m.Took = float64(now()-begin) / 1e6
	after, systemAfter, err := processorTime()
	m.CPU = (after - before) / float64(max(n, 1))
	m.Kernel = (systemAfter - system) / float64(max(n, 1))
	return m, err
}

// processorTime is what this process and its ended children have used, and how much
// of that in the kernel, in ms.
func processorTime() (ms, kernel float64, err error) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0, 0, err
		}
		ms += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
		kernel += float64(u.Stime.Nano()) / 1e6
	}
	return ms, kernel, nil
}

// print writes medians for people.
func (m *measured) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	total := median(m.Times)
	for _, p := range m.Phases {
		ms := median(p.Times)
		fmt.Fprintf(tw, "%.3f ms\t%.0f %%\t  %s\n", ms, 100*ms/max(total, 1e-9), p.Name)
	}
	fmt.Fprintf(tw, "%.3f ms\t\t  all\n%.3f ms\t\t  of processor time\n", total, m.CPU)
	return tw.Flush()
}

func median(samples []float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	return s[len(s)/2]
}
