package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// goal is a figure that is to be reached on the machine that measures. measure
// looks it up; it is "" where the samples do not have it.
type goal struct {
	figure, want string
	measure      func(m *medians) (measured string, met bool)
}

// medians are the latest of each case and target, over all reports.
type medians struct {
	reports []*report // newest first
	from    *report   // that the last look-up was of
}

// of is the median of the newest run that has this case on this target; the name
// of a case may have parts that depend on the run: "…" stands for any.
func (m *medians) of(name, target string) (float64, bool) {
	for _, r := range m.reports {
		if v, ok := r.median(name, target); ok {
			m.from = r
			return v, true
		}
	}
	return 0, false
}

func (r *report) median(name, target string) (float64, bool) {
	for _, c := range r.Cases {
		for _, t := range c.Targets {
			first, _, _ := strings.Cut(t, " ") // without the version
			if matches(name, c.Name) && (t == target || first == target) {
				return quantile(slices.Sorted(slices.Values(c.Samples[t])), 0.5), true
			}
		}
	}
	return 0, false
}

func matches(pattern, name string) bool {
	for i, part := range strings.Split(pattern, "…") {
		at := strings.Index(name, part)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		name = name[at+len(part):]
	}
	return name == "" || strings.HasSuffix(pattern, "…")
}

// at returns a goal of an absolute value: at most, or at least where less is worse.
func at(name, target, unit string, most float64) func(*medians) (string, bool) {
	return func(m *medians) (string, bool) {
		v, ok := m.of(name, target)
		if !ok {
			return "", false
		}
		met := v <= most
		if unit == "/s" {
			met = v >= most
		}
		return fmt.Sprintf("%.2f %s", v, unit), met
	}
}

// times returns a goal of a ratio between two figures of one run.
func times(name, target, beside, other, unit string, most float64) func(*medians) (string, bool) {
	return func(m *medians) (string, bool) {
		for _, r := range m.reports {
			v, ok := r.median(name, target)
			base, also := r.median(beside, other)
			if ok && also && base > 0 {
				m.from = r
				return fmt.Sprintf("%.2f %s", v/base, unit), v/base <= most
			}
		}
		return "", false
	}
}

// crowdGoal compares the makespan of 32 at once with what their processor time
// alone would take.
func crowdGoal(m *medians) (string, bool) {
	for _, r := range m.reports {
		perSecond, ok := r.median(inASecond(32), "berth")
		cpu, also := r.median("CPU of an API run, all processes", "berth")
		if !ok || !also || perSecond == 0 {
			continue
		}
		m.from = r
		makespan, least := 32/perSecond*1000, 32*cpu/float64(coresOf(r))
		return fmt.Sprintf("%.2f × (%.0f ms)", makespan/least, makespan), makespan <= 1.25*least
	}
	return "", false
}

// coresOf reads the number of cores from a report's description of the machine.
func coresOf(r *report) int {
	for part := range strings.SplitSeq(r.Machine, ", ") {
		n := 0
		if _, err := fmt.Sscanf(part, "%d cores", &n); err == nil {
			return n
		}
	}
	return runtime.NumCPU()
}

const (
	single = "API create+start+wait+remove, bridge"
	inRow  = "20 API runs back to back, each, bridge"
	cliRun = "CLI run --rm true, bridge"

	sustainedRuns = "sustained: 1000 API runs, 8 at once"
)

var goals = slices.Concat(goalsOfStarts, goalsOfStreams(), goalsOfRequests, goalsOfImages)

var goalsOfStarts = []goal{
	{"API create+start+wait+remove, bridge, one after the other", "≤ 1.5 F", times(inRow, "berth", inRow, floorName, "F", 1.5)},
	{"its processor time, all processes", "≤ 1.5 F", times("CPU of an API run, all processes", "berth", "CPU of an API run, all processes", floorName, "F", 1.5)},
	{"API create+start+wait+remove, bridge, with what is ready", "≤ 5 ms", at(single, "berth", "ms", 5)},
	{"the same", "≤ 1 F", times(single, "berth", single, floorName, "F", 1)},
	{"CLI `run --rm IMG true`, bridge", "≤ 15 ms", at(cliRun, "berth", "ms", 15)},
	{"the same, beside Docker's in the same run", "≤ 1/25", times(cliRun, "berth", cliRun, "docker", "", 1.0/25)},
	{"32 at once: makespan beside 32 × CPU of one ÷ cores", "≤ 1.25 ×", crowdGoal},
	{"1,000 starts by API, refills counted", "≥ 250/s", at(sustainedRuns, "berth", "/s", 250)},
	{"300th start beside the first", "≤ 1.2 ×", times("start latency with 300 running, last…", "berth", "start latency among 1000 containers, first…", "berth", "×", 1.2)},
	{"exec by API", "≤ 2.5 ms", at("API exec of true, each of 20 in a row", "berth", "ms", 2.5)},
	{"exec by CLI", "≤ 10 ms", at("CLI exec true, each of 20 in a row", "berth", "ms", 10)},
	{"CPU of a CLI run, all processes", "≤ 12 ms", at("CPU of a CLI run --rm, all processes", "berth", "ms", 12)},
	{"`berth-runtime run` beside crun", "≤ 1 ×", times("OCI run true, one bundle", "berth-runtime", "OCI run true, one bundle", "crun", "×", 1)},
	{"memory per idle container (PSS)", "≤ 0.38 MB", at("memory per idle container (PSS…", "berth", "MB", 0.38)},
	{"the same, of one that has printed 100 MB and served 100 execs", "≤ 0.38 MB", at("memory per idle container that has printed 100 MB and served 100 execs (PSS; goal: 0.38 MB)", "berth", "MB", 0.38)},
	{"memory of the idle daemon (PSS)", "≤ 40 MB", at("memory of the idle daemon (PSS)", "berth", "MB", 40)},
	{"cold start of the daemon to its first answer", "≤ 100 ms", at("daemon cold start to first answer", "berth", "ms", 100)},
	{"the same with 1,000 stopped containers", "≤ 200 ms", at("daemon cold start, 1000 stopped containers", "berth", "ms", 200)},
	{"the same with 300 running containers, too", "≤ 300 ms", at("daemon ready after a restart, 1300 containers, 300 running (goal: 300 ms)", "berth", "ms", 300)},
	{"memory of the daemon then (RSS)", "≤ 80 MB", at("memory of the daemon after that restart (RSS; goal: 80 MB)", "berth", "MB", 80)},
	{"`ps -a` of 1,300 containers", "≤ 30 ms", at("CLI ps -a, 1300 containers (goal: 30 ms)", "berth", "ms", 30)},
	{"200 containers with a health check each second, CPU beside raw setns, fork, exec", "≤ 1.5 ×", times("CPU for 200 health checks a second…", "berth", "CPU for 200 health checks a second…", floorName, "×", 1.5)},
}

var goalsOfRequests = []goal{
	{"requests through a published port beside no container, lasting connections, for processor time", "≥ 0.9 ×", kept("HTTP requests from another machine, lasting connections, publish-policy docker, for a second of processors", "", "no container", bridgeAndRule, 0.9)},
	{"the same, a connection for each", "≥ 0.9 ×", kept("HTTP requests from another machine, a connection for each, publish-policy docker, for a second of processors", "", "no container", bridgeAndRule, 0.9)},
	{"start with 10,001 UDP ports in a row, beyond one without", "≤ 100 ms", at("start with -p 10000-20000:10000-20000/udp…", "berth", "ms", 100)},
	{"memory of them, of all of Berth (PSS)", "≤ 2 MB", at("memory of -p 10000-20000:10000-20000/udp…", "berth", "MB", 2)},
	{"questions about a container in a second of berth-netd on a processor", "≥ 20,000/s", at("questions about a container…", "berth", "/s", 20000)},
	{"p99 of questions to the outside, one of two servers silent", "≤ 60 ms", at("p99 of…questions to the outside, the first of two servers silent…", "berth", "ms", 60)},
}

var goalsOfImages = []goal{
	{"pull and unpack an image, beside the floor's time", "≤ 1.25 ×", timesLonger("pull and unpack (goal…floor's time)")},
	{"the same, processor time", "≤ 1.25 ×", times("pull and unpack (goal…floor's time), processor time", "berth", "pull and unpack (goal…floor's time), processor time", floorName, "×", 1.25)},
	{"load an image, beside the floor's time", "≤ 1.25 ×", timesLonger("load (goal…floor's time)")},
	{"the same, processor time", "≤ 1.25 ×", times("load (goal…floor's time), processor time", "berth", "load (goal…floor's time), processor time", floorName, "×", 1.25)},
	{"pull and unpack, MB a second beside Docker's", "≥ 1 ×", faster("pull and unpack (goal…floor's time)", 1)},
	{"load, MB a second beside Docker's", "≥ 1 ×", faster("load (goal…floor's time)", 1)},
	{"save, MB a second beside Docker's", "≥ 3 ×", faster("save (goal…Docker's)", 3)},
	{"disk use of an image at rest, packed by Go's gzip, beside Docker's overlay2", "≤ 1 ×", times(diskCase+", packed by Go's gzip", "berth", diskCase+", packed by Go's gzip", "docker", "×", 1)},
	{"build, all cached", "≤ 100 ms", at("build, all cached…", "berth", "ms", 100)},
	{"build, one file changed, beside Docker's", "≤ 0.5 ×", times("build, one file changed…", "berth", "build, one file changed…", "docker", "×", 0.5)},
}

// timesLonger is the goal of a case in MB a second: how many times as long as the
// floor it takes.
func timesLonger(name string) func(*medians) (string, bool) {
	return times(name, floorName, name, "berth", "×", 1.25)
}

// faster is the goal of a case in MB a second beside Docker's.
func faster(name string, least float64) func(*medians) (string, bool) {
	return func(m *medians) (string, bool) {
		for _, r := range m.reports {
			v, ok := r.median(name, "berth")
			base, also := r.median(name, "docker")
			if ok && also && base > 0 {
				m.from = r
				return fmt.Sprintf("%.2f ×", v/base), v/base >= least
			}
		}
		return "", false
	}
}

// goalsOfStreams are those of a plain bridge's, in a second, for a second of
// processors, and the same where frames within a bridge pass no firewall.
func goalsOfStreams() (all []goal) {
	const forCPU = ", for a second of processors"
	for _, way := range []string{"container to container", "container to host", "host to published port, 127.0.0.1"} {
		name := "iperf3, " + way
		for _, g := range []struct{ figure, name, under string }{
			{name + ", beside a plain bridge", name, ""},
			{"the same, processor time", name + forCPU, ""},
			{"the same, processor time, no `br_netfilter`", name + forCPU, noBrNetfilter},
		} {
			all = append(all, goal{g.figure, "≥ 0.95 ×", kept(g.name, g.under, "plain bridge", byHand, 0.95)})
		}
	}
	return all
}

// kept is the goal of what networking leaves of a flow without any; what rules made
// by hand leave says how much of the rest is the kernel's.
func kept(name, under, without, hand string, least float64) func(*medians) (string, bool) {
	name = fmt.Sprintf("%s (goal: %.2f)%s", name, least, under)
	return func(m *medians) (string, bool) {
		for _, r := range m.reports {
			v, ok := r.median(name, "berth")
			all, also := r.median(name, without)
			rules, byHand := r.median(name, hand)
			if ok && also && byHand && all > 0 {
				m.from = r
				return fmt.Sprintf("%.2f × (rules by hand: %.2f ×)", v/all, rules/all), v/all >= least
			}
		}
		return "", false
	}
}

// renderGoals writes the table of goals, each with the newest run that has it.
func renderGoals(w io.Writer, reports []*report) {
	fmt.Fprint(w, "\n## Goals\n\nEach figure is of the newest run that has it; F is the floor in that run. What stands between a goal that is not\nmet and the figure is below, in *Where the time goes*, and in [decision 0042](decisions/0042-what-starts-cost.md); of networks, in\n[networking](networking.md).\n\n")
	fmt.Fprintln(w, "| figure | goal | measured | met | run |\n|---|---|---|---|---|")
	for _, g := range goals {
		m := &medians{reports: reports}
		measured, met := g.measure(m)
		if measured == "" {
			fmt.Fprintf(w, "| %s | %s | not measured | | |\n", g.figure, g.want)
			continue
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", g.figure, g.want, strings.TrimSpace(measured), map[bool]string{true: "yes", false: "no"}[met], m.from.Date.Format("2006-01-02 15:04"))
	}
}
