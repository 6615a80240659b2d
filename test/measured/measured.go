// Package measured keeps what was measured for a page of the documentation: the
// raw samples as JSON in docs/measured, with when, of which commit, on which
// machine and beside what load they were taken. The page's figures are made of
// that file alone, so that a test can tell whether the two say the same.
package measured

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// About says how samples came to be; a file of samples embeds it.
type About struct {
	Date    time.Time `json:"date"`
	Commit  string    `json:"commit"`
	Machine string    `json:"machine"`
	Command string    `json:"command"`
	// Load is how many processes wanted a processor in the minute before
	// (proc_loadavg(5)): what else there was to do.
	Load float64 `json:"load"`
}

// Here is of now, this machine and the commit that is checked out.
func Here(command string) About {
	a := About{Date: time.Now().UTC().Truncate(time.Second), Commit: "unknown", Machine: Machine(), Command: command}
	if out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		a.Commit = strings.TrimSpace(string(out))
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &a.Load) // 0 says that it is not known
	}
	return a
}

// String is one line for a page.
func (a About) String() string {
	return fmt.Sprintf("%s, commit %s, on %s; load before: %.1f", a.Date.Format(time.DateOnly), a.Commit, a.Machine, a.Load)
}

// Machine is the processor, the kernel and their like.
func Machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	model := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	cgroups := "cgroup v1 (hybrid)"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		cgroups = "cgroup v2"
	}
	return fmt.Sprintf("%s, %d cores, Linux %s, %s, %s",
		model, runtime.NumCPU(), strings.TrimSpace(string(kernel)), cgroups, runtime.Version())
}

// Milliseconds are durations as a file keeps them, to the microsecond.
func Milliseconds(all []time.Duration) []float64 {
	ms := make([]float64, len(all))
	for i, d := range all {
		ms[i] = math.Round(float64(d)/float64(time.Microsecond)) / 1000
	}
	return ms
}

// Within is the value that so much of the samples, from 0 to 1, do not exceed;
// without samples 0.
func Within(samples []float64, share float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// Save writes a file of samples.
func Save(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644) //nolint:gosec // documentation
}

// Read reads a file of samples into v.
func Read(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Put replaces what a page has between the marks of name by text.
func Put(page []byte, name, text string) ([]byte, error) {
	begin, end := fmt.Appendf(nil, "<!-- measured: %s -->\n", name), []byte("<!-- end -->\n")
	before, rest, ok := bytes.Cut(page, begin)
	_, after, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		return nil, fmt.Errorf("the page has no place for %s", name)
	}
	return slices.Concat(before, begin, []byte(text), end, after), nil
}
