package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A report is what one judge said about one runtime: one file in
// docs/conformance.
type report struct {
	Suite        string    `json:"suite"` // "runtime-tools" or "runc"
	SuiteVersion string    `json:"suiteVersion"`
	Runtime      string    `json:"runtime"`
	Version      string    `json:"version"` // the first line of --version
	Host         string    `json:"host"`    // kernel and cgroup version
	Date         time.Time `json:"date"`
	Groups       []group   `json:"groups"`
}

// A group is one program of runtime-tools or one file of runc's cases.
type group struct {
	Name     string    `json:"name"`
	Seconds  float64   `json:"seconds"`
	Verdicts []verdict `json:"verdicts"`
}

// count returns how many cases of the group ended this way.
func (g group) count(outcome string) int {
	n := 0
	for _, v := range g.Verdicts {
		if v.Outcome == outcome {
			n++
		}
	}
	return n
}

func (r *report) count(outcome string) int {
	n := 0
	for _, g := range r.Groups {
		n += g.count(outcome)
	}
	return n
}

// path is where the report of this suite and runtime is kept. Results of hosts
// with cgroup v2 alone stand beside those of others.
func (r *report) path(dir string) string {
	name := r.Suite + "." + r.Runtime
	if strings.HasSuffix(r.Host, "v2") {
		name += ".v2"
	}
	return filepath.Join(dir, name+".json")
}

// store writes the report. Groups of an older report by the same suite that
// were not run again are kept, so that one can be repeated alone.
func (r *report) store(dir string) error {
	kept := *r
	kept.Groups = slices.Clone(r.Groups)
	if old, err := loadReport(r.path(dir)); err == nil && old.SuiteVersion == r.SuiteVersion {
		for _, g := range old.Groups {
			if !slices.ContainsFunc(r.Groups, func(n group) bool { return n.Name == g.Name }) {
				kept.Groups = append(kept.Groups, g)
			}
		}
	}
	slices.SortFunc(kept.Groups, func(a, b group) int { return strings.Compare(a.Name, b.Name) })
	data, err := json.MarshalIndent(&kept, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(r.path(dir), append(data, '\n'), 0o644)
}

func loadReport(path string) (*report, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
