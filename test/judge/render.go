package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

const intro = `# Conformance

What outside judges say of ` + "`berth-runtime`" + `, beside Debian's runc and crun on the same machine. Rendered by
` + "`make judge-render`" + ` from the raw results in ` + "`docs/conformance/`" + `; a test compares the two. ` + "`make judge`" + ` fetches
the judges (through the Go module proxy and from Debian; nothing of theirs is in this repository), runs each program and
file of cases in namespaces and control groups of its own, and writes the raw results.

- **runtime-tools**: the validation programs of the Open Containers Initiative. They are of 2019 and judge by the text of
  version 1.0.1: some ask for what later versions changed, and some for what this kernel no longer has.
- **runc**: runc's own integration cases. They ask for runc's words, log lines and options, not only for the
  specification. They are newer than Debian's runc, which therefore fails some.
- ` + "`test/conformance`" + ` are our own tests from the text of version 1.3, one for each requirement; they are in every run of
  ` + "`make test`" + ` and all pass. ` + "`BERTH_CONFORMANCE_RUNTIME=runc go test ./test/conformance`" + ` runs them against another runtime.
`

// A suite is what all runtimes got from one judge on one kind of host.
type suite struct {
	name, version, host string
	reports             []*report
}

// renderFolder writes Markdown from every report of a folder, and from nothing
// else.
func renderFolder(w io.Writer, dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	var suites []*suite
	for _, path := range paths {
		r, err := loadReport(path)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(suites, func(s *suite) bool { return s.name == r.Suite && s.host == r.Host })
		if i < 0 {
			i = len(suites)
			suites = append(suites, &suite{name: r.Suite, version: r.SuiteVersion, host: r.Host})
		}
		suites[i].reports = append(suites[i].reports, r)
	}
	slices.SortFunc(suites, func(a, b *suite) int { return strings.Compare(b.name+b.host, a.name+a.host) })
	fmt.Fprint(w, intro)
	for _, s := range suites {
		s.render(w)
	}
	return nil
}

func (s *suite) render(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n\n%s. Cases passed, failed and skipped:\n\n", s.version, s.host)
	fmt.Fprintln(w, "| runtime | version | pass | fail | skip |\n|---|---|---|---|---|")
	for _, r := range s.reports {
		fmt.Fprintf(w, "| %s | %s | %d | %d | %d |\n", r.Runtime, r.Version, r.count(pass), r.count(fail), r.count(skip))
	}
	s.renderGroups(w)
	s.renderFailures(w)
}

// renderGroups is one line for each program or file that somebody failed in.
func (s *suite) renderGroups(w io.Writer) {
	fmt.Fprint(w, "\nWhere all pass whatever they do not skip, there is no line here; else pass/fail/skip, or nothing where a file was not run:\n\n|  |")
	for _, r := range s.reports {
		fmt.Fprintf(w, " %s |", r.Runtime)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---|", len(s.reports)))
	for _, name := range s.groups() {
		var cells []string
		failed := false
		for _, r := range s.reports {
			cell := ""
			if i := slices.IndexFunc(r.Groups, func(g group) bool { return g.Name == name }); i >= 0 {
				g := r.Groups[i]
				cell = fmt.Sprintf("%d/%d/%d", g.count(pass), g.count(fail), g.count(skip))
				failed = failed || g.count(fail) > 0
			}
			cells = append(cells, cell)
		}
		if failed {
			fmt.Fprintf(w, "| %s | %s |\n", name, strings.Join(cells, " | "))
		}
	}
}

func (s *suite) groups() []string {
	var names []string
	for _, r := range s.reports {
		for _, g := range r.Groups {
			names = append(names, g.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// renderFailures lists what berth-runtime fails, with the others' outcome and
// the reason that explain knows.
func (s *suite) renderFailures(w io.Writer) {
	i := slices.IndexFunc(s.reports, func(r *report) bool { return r.Runtime == "berth-runtime" })
	if i < 0 || s.reports[i].count(fail) == 0 {
		return
	}
	fmt.Fprint(w, "\nWhat `berth-runtime` fails, and why:\n\n| case | others | why |\n|---|---|---|\n")
	for _, g := range s.reports[i].Groups {
		seen := map[string]bool{}
		for _, v := range g.Verdicts {
			if v.Outcome != fail || seen[v.Name] {
				continue
			}
			seen[v.Name] = true
			fmt.Fprintf(w, "| %s: %s | %s | %s |\n", g.Name, cell(v.Name), s.others(g.Name, v.Name), cell(explain(s.name, g.Name, v)))
		}
	}
}

// others tells how the other runtimes did in a case, and whom it was not put to.
func (s *suite) others(group, name string) string {
	var all []string
	for _, r := range s.reports {
		if r.Runtime == "berth-runtime" {
			continue
		}
		outcome := "not asked"
		for _, g := range r.Groups {
			for _, v := range g.Verdicts {
				if g.Name == group && v.Name == name && outcome != fail {
					outcome = v.Outcome
				}
			}
		}
		all = append(all, r.Runtime+" "+outcome)
	}
	return strings.Join(all, ", ")
}

// cell keeps a text on one line of a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(s)
}
