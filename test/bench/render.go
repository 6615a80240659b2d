package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// intro opens docs/benchmarks.md.
const intro = `# Benchmarks

Rendered by ` + "`make bench-render`" + ` from the raw samples in ` + "`docs/benchmarks/`" + `; a test compares the
two. Every table is one run of ` + "`make bench`" + `, its engines interleaved. The ratio is the median
divided by that of the table's first engine for the same case. The floor is what the kernel
alone asks for a default container (` + "`test/bench/floor`" + `); the last column is the median divided by
the floor's of the same case and run.
`

// renderFolder writes Markdown from every sample file of a folder, newest
// first, and from nothing else.
func renderFolder(w io.Writer, dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	var reports []*report
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r := &report{}
		if err := json.Unmarshal(data, r); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		reports = append(reports, r)
	}
	slices.SortFunc(reports, func(a, b *report) int { return b.Date.Compare(a.Date) })
	fmt.Fprint(w, intro)
	renderGoals(w, reports)
	renderWhereTime(w, reports)
	for _, r := range reports {
		fmt.Fprintf(w, "\n## %s, commit %s\n\n%s\n\n`%s`\n\n", r.Date.Format("2006-01-02 15:04"), r.Commit, r.Machine, r.Command)
		fmt.Fprintln(w, "| case | engine | n | min | median | p90 | p99 | ratio | floors |\n|---|---|---|---|---|---|---|---|---|")
		for _, x := range r.rows() {
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", x.name, x.target, x.n, x.low, x.median, x.p90, x.p99, x.ratio, x.floors)
		}
		for _, l := range r.LeftOut {
			fmt.Fprintf(w, "\nLeft out: %s\n", l)
		}
	}
	return nil
}
