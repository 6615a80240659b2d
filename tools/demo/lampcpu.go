package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// busy is how long all processors have been busy and idle so far, in ticks
// (proc_stat(5)).
func busy() (worked, all float64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, f := range fields[1:9] { // what guests use is in user's already
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, 0, err
		}
		all += n
		if i != 3 && i != 4 { // idle, and idle while a disk works
			worked += n
		}
	}
	return worked, all, nil
}

// watch says, when it is called again, how many processors everything used since.
func watch() (func() (float64, error), error) {
	worked, all, err := busy()
	return func() (float64, error) {
		w, a, err := busy()
		if err != nil || a <= all {
			return 0, err
		}
		return (w - worked) / (a - all) * float64(runtime.NumCPU()), nil
	}, err
}

// used is how many processors the web servers use now.
func (s *stage) used(ctx context.Context) (sum float64, err error) {
	ids, err := s.ask(ctx, "ps", "--quiet", "--filter", "label=com.docker.compose.service=web")
	if err != nil {
		return 0, err
	}
	out, err := s.ask(ctx, append([]string{"stats", "--no-stream", "--format", "{{.CPUPerc}}"}, strings.Fields(string(ids))...)...)
	if err != nil {
		return 0, err
	}
	for text := range strings.FieldsSeq(string(out)) {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil {
			return 0, fmt.Errorf("berth stats says %q: %w", text, err)
		}
		sum += percent / 100
	}
	return sum, nil
}

// full is from which share on a limit, or the machine, counts as used up: the
// load has pauses, and the kernel counts in ticks.
const full = 0.85

// explain says why a step is as fast as it is, compared to the one before.
func explain(before, now lampRow, machine int) string {
	ratio := now.rate() / before.rate()
	said := fmt.Sprintf("%.1f times as fast as before", ratio)
	switch {
	case now.Machine >= full*float64(machine):
		said += fmt.Sprintf(": all %d processors of the machine are busy, with the users, the database and whatever else runs here; the servers got %.1f of the %.1f that they may use, and more of them share the same time",
			machine, now.Web, now.Allowed)
	case now.Web >= full*now.Allowed:
		said += fmt.Sprintf(": the servers use what they may (%.1f of %.1f processors), so that more servers, or more for each, make more", now.Web, now.Allowed)
	default:
		said += fmt.Sprintf(": neither the servers (%.1f of %.1f processors) nor the machine (%.1f of %d) are full; %d users wait for answers one by one", now.Web, now.Allowed, now.Machine, machine, lampUsers)
	}
	return said
}
