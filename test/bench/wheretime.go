package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A part of the chapter on where time goes: a table of the phases of something.
type whereTime struct {
	title, text string
	target      string
	phases      []string // what the names of the cases begin with, up to the colon
}

var whereTimes = []whereTime{
	{
		title: "A container's life by the API", target: "berth", phases: []string{"create", "start", "exit", "remove"},
		text: "Of the goals of API runs, of their number in a second and of `run --rm` by the command line, whose longest part it is. " +
			"*exit* runs beside the client's wait; a phase begins where the one before has ended.",
	},
	{
		title: "The kernel's part of it: the floor", target: floorName, phases: []string{"floor"},
		text: "The same container made by raw system calls, with nothing around it. What a phase takes here, no engine saves.",
	},
	{
		title: "A further process by the API", target: "berth", phases: []string{"exec create", "exec start", "exec inspect"},
		text: "Of the goals of exec. *The monitor forks* is a message to it, what the kernel does to copy its memory, join groups and namespaces, load " +
			"the filter and execute the program (decision 0042), and the answer.",
	},
	{
		title: "A pull", target: "berth", phases: []string{"pull"},
		text: "Of the goals of pull and unpack: an image of some 70 MB in six layers, from the Hub over loopback. Layers are unpacked beside each other, " +
			"and while others are fetched: a phase ends when the last has come so far. The floor and the Hub are in the last table.",
	},
	{
		title: "A build with one file changed", target: "berth", phases: []string{"build"},
		text: "As the client's progress tells it; what was cached is in the phase of the next step that was not. The client starts and ends beside " +
			"Docker's engine for as long.",
	},
	{
		title: "A step of a build", target: "berth", phases: []string{"step"},
		text: "The container of the step with a command in that build, within its phase there.",
	},
}

// renderWhereTime writes, from the newest run of bench -phases, where the time goes
// that stands between goals and figures, and what of it is the kernel's.
func renderWhereTime(w io.Writer, reports []*report) {
	at := slices.IndexFunc(reports, func(r *report) bool {
		return slices.ContainsFunc(r.Cases, func(c *result) bool { return strings.HasSuffix(c.Name, inKernel) })
	})
	if at < 0 {
		return
	}
	r := reports[at]
	fmt.Fprintf(w, "\n## Where the time goes\n\nOf the run of %s, commit %s, whose samples are below: `%s`. Medians.\n", r.Date.Format("2006-01-02 15:04"), r.Commit, r.Command)
	for _, part := range whereTimes {
		part.render(w, r)
	}
	renderCrowds(w, reports)
	fmt.Fprint(w, "\n### Processor time in programs and in the kernel\n\nOf all processes that exist because of it, and of the command line's client alone. Means, since the kernel counts by\nthe ticks of its clock.\n\n")
	fmt.Fprint(w, "| what | of | in programs | in the kernel | the kernel's part |\n|---|---|---|---|---|\n")
	for _, c := range r.Cases {
		what, ok := strings.CutSuffix(c.Name, inKernel)
		if !ok {
			continue
		}
		for _, target := range c.Targets {
			kernel, programs := mean(c.Samples[target]), mean(r.samples(what+inPrograms, target))
			if kernel+programs > 0 {
				fmt.Fprintf(w, "| %s | %s | %.2f ms | %.2f ms | %.0f %% |\n", what, target, programs, kernel, 100*kernel/(kernel+programs))
			}
		}
	}
}

// renderCrowds writes, from the newest run that has it, how many containers at once
// the floor makes: what stands between that and a goal is the kernel's.
func renderCrowds(w io.Writer, reports []*report) {
	var rows []string
	for _, r := range reports {
		for _, name := range []string{inASecond(1), inASecond(8), inASecond(32), sustainedRuns} {
			floor, ok := r.median(name, floorName)
			if berth, also := r.median(name, "berth"); ok && also && floor > 0 {
				rows = append(rows, fmt.Sprintf("| %s | %.1f | %.1f | %.2f |", name, berth, floor, berth/floor))
			}
		}
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n### Crowds\n\nContainers in a second, of the run of %s, commit %s. The floor makes as many at once, in one program.\n\n"+
			"| case | berth | floor | of the floor |\n|---|---|---|---|\n%s\n", r.Date.Format("2006-01-02 15:04"), r.Commit, strings.Join(rows, "\n"))
		return
	}
}

// samples are those of a case on a target; nil if there are none.
func (r *report) samples(name, target string) []float64 {
	for _, c := range r.Cases {
		if c.Name == name {
			return c.Samples[target]
		}
	}
	return nil
}

// render writes a table: the phases that are a fiftieth of all at least, the longest
// first, and the rest in one.
func (t *whereTime) render(w io.Writer, r *report) {
	type phase struct {
		name string
		ms   float64
	}
	var phases []phase
	sum := 0.0
	for _, c := range r.Cases {
		of, name, ok := strings.Cut(c.Name, ": ")
		if !ok || name == "all" || !slices.Contains(t.phases, of) {
			continue
		}
		if ms, ok := r.median(c.Name, t.target); ok {
			phases = append(phases, phase{c.Name, ms})
			sum += ms
		}
	}
	if sum == 0 {
		return
	}
	slices.SortStableFunc(phases, func(a, b phase) int { return cmp.Compare(b.ms, a.ms) })
	fmt.Fprintf(w, "\n### %s\n\n%s\n\n| phase | takes | of all |\n|---|---|---|\n", t.title, t.text)
	rest, n := 0.0, 0
	for _, p := range phases {
		if p.ms < sum/50 {
			rest, n = rest+p.ms, n+1
			continue
		}
		fmt.Fprintf(w, "| %s | %.2f ms | %.0f %% |\n", p.name, p.ms, 100*p.ms/sum)
	}
	if n > 0 {
		fmt.Fprintf(w, "| %d others | %.2f ms | %.0f %% |\n", n, rest, 100*rest/sum)
	}
	fmt.Fprintf(w, "| all | %.2f ms | |\n", sum)
}
