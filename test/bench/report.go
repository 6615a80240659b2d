package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/berth-engine/berth/test/measured"
)

// report is what one run of bench measured, with what is needed to judge it.
type report struct {
	Date    time.Time `json:"date"`
	Commit  string    `json:"commit"`
	Machine string    `json:"machine"`
	Command string    `json:"command"`
	Cases   []*result `json:"cases"`
	// LeftOut are samples that a peer failed at: those it has are of when it did not.
	LeftOut []string `json:"leftOut,omitempty"`
	// under ends the names of what is added: something differs from a case before.
	under string
}

// result holds the raw samples of one case, by target.
type result struct {
	Name    string               `json:"name"`
	Unit    string               `json:"unit"`
	Targets []string             `json:"targets"`
	Samples map[string][]float64 `json:"samples"`
}

func newReport(o options) *report {
	return &report{
		Date: time.Now().UTC().Truncate(time.Second), Commit: o.commit, Machine: measured.Machine(),
		Command: "bench " + strings.Join(os.Args[1:], " "),
	}
}

func (r *report) add(c benchCase, target string, value float64) {
	c.name += r.under
	at := slices.IndexFunc(r.Cases, func(x *result) bool { return x.Name == c.name })
	if at < 0 {
		r.Cases = append(r.Cases, &result{Name: c.name, Unit: c.unit, Samples: map[string][]float64{}})
		at = len(r.Cases) - 1
	}
	x := r.Cases[at]
	if !slices.Contains(x.Targets, target) {
		x.Targets = append(x.Targets, target)
	}
	x.Samples[target] = append(x.Samples[target], value)
}

// leaveOut notes that a peer failed at a sample. The run goes on: a peer that fails
// once in a hundred is to be compared, too.
func (r *report) leaveOut(err error) {
	text := strings.Join(strings.Fields(err.Error()), " ")
	fmt.Fprintln(os.Stderr, "bench: left out:", text)
	r.LeftOut = append(r.LeftOut, text)
}

func (r *report) save(path string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// quantile returns the q-quantile of sorted samples (nearest rank).
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// row is one line of a table: a case on one target.
type row struct{ name, target, n, low, median, p90, p99, ratio, floors string }

func (r *report) rows() []row {
	var rows []row
	for _, c := range r.Cases {
		base := 0.0
		for i, target := range c.Targets {
			s := slices.Sorted(slices.Values(c.Samples[target]))
			median := quantile(s, 0.5)
			if i == 0 {
				base = median
			}
			show := func(v float64) string { return fmt.Sprintf("%.2f %s", v, c.Unit) }
			ratio, floors := "1", ""
			if i > 0 {
				ratio = fmt.Sprintf("%.2f", median/base)
			}
			if floor := c.Samples[floorName]; len(floor) > 0 && target != floorName {
				floors = fmt.Sprintf("%.2f F", median/quantile(slices.Sorted(slices.Values(floor)), 0.5))
			}
			rows = append(rows, row{c.Name, target, fmt.Sprint(len(s)), show(s[0]), show(median), show(quantile(s, 0.9)), show(quantile(s, 0.99)), ratio, floors})
		}
	}
	return rows
}

func (r *report) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CASE\tENGINE\tN\tMIN\tMEDIAN\tP90\tP99\tRATIO\tFLOORS")
	for _, x := range r.rows() {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.name, x.target, x.n, x.low, x.median, x.p90, x.p99, x.ratio, x.floors)
	}
	tw.Flush()
	for _, l := range r.LeftOut {
		fmt.Fprintln(w, "left out:", l)
	}
}
