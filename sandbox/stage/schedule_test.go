package stage

import (
	"errors"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSchedule(t *testing.T) {
	for _, reaper := range []bool{false, true} {
		spec := defaultSpec("/probe", "attributes")
		spec.Process.User.UID = 1000 // who could not do it
		spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: -7, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
		spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0"} // of no concern to process 1
		spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
		spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		b := newBox(t, spec)
		b.config.Reaper = reaper
		out, code := b.run()
		wants := []string{"ioprio 2 6\n", "memory 32770 1\n", "personality 8\n"}
		if !reaper { // reset on fork
			wants = append(wants, "policy 3 nice -7 priority 0 flags 1 ")
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("reaper=%v, exit %d, no %q in\n%s", reaper, code, want, out)
			}
		}
		if strings.Contains(out, "cpus 1 ") && !onlyOneCPU() {
			t.Errorf("affinity: %s", out)
		}
	}
	// Groups with a share of real time of their own (CONFIG_RT_GROUP_SCHED)
	// have none unless they are given one.
	spec := defaultSpec("/probe", "attributes")
	spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 3}
	b := newBox(t, spec)
	if err := b.spawn(); err != nil {
		if !strings.Contains(err.Error(), "set credentials: scheduler SCHED_FIFO: sched_setattr: ") {
			t.Error(err)
		}
		return
	}
	must(t, b.process.Start())
	if b.wait(); !strings.Contains(b.stdout.String(), "policy 1 nice 0 priority 3 ") {
		t.Error(b.stdout.String())
	}
}

// TestEnterScheduled: a further process has its own scheduling, and the
// container's memory policy and personality.
func TestEnterScheduled(t *testing.T) {
	spec := defaultSpec("/probe", "pause")
	spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}
	spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	b := running(t, spec)
	p := process("/probe", "attributes")
	p.User.UID = 1000
	p.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle}
	p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
	p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0"}
	out, _ := b.inside(p)
	for _, want := range []string{"policy 5 ", "ioprio 3 0\n", "cpus 1 true\n", "memory 3 1\n", "personality 8\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	p.ExecCPUAffinity = &specs.CPUAffinity{Final: "1023"}
	if _, err := b.enter(p, nil); err == nil || !strings.Contains(err.Error(), "execCPUAffinity 1023: sched_setaffinity: invalid argument") {
		t.Error(err)
	}
}

func TestInvalidAttributes(t *testing.T) {
	for want, change := range map[string]func(*specs.Spec){
		"scheduler policy \"X\"": func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: "X"} },
		"nice 20":                func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: 20} },
		"priority is for":        func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Priority: 1} },
		"deadline and period": func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1, Period: 1}
		},
		"flag \"X\"": func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Flags: []specs.LinuxSchedulerFlag{"X"}}
		},
		"class \"\"": func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{} },
		"priority 8": func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT, Priority: 8}
		},
		"execCPUAffinity":  func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "1-0"} },
		"memory policy \"": func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{} },
		"policy flag": func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Flags: []specs.MemoryPolicyFlagType{"X"}}
		},
		"policy nodes": func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "all"}
		},
		"personality \"": func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{} },
		"personality flags": func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"X"}}
		},
		"is listed twice": func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{specsLimit("RLIMIT_CORE", 0, 1), specsLimit("RLIMIT_CORE", 0, 1)}
		},
		"is above the hard":        func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{specsLimit("RLIMIT_CORE", 2, 1)} },
		"rlimit type \"RLIMIT_X\"": func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} },
		"a label of":               func(s *specs.Spec) { s.Process.SelinuxLabel = "a\nb" },
	} {
		spec := defaultSpec("/probe")
		change(spec)
		_, _, err := Prepare(&Config{Spec: spec}, false)
		if !errors.As(err, new(*InvalidSpecError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	// What only the kernel knows.
	spec := defaultSpec("/probe")
	spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Nodes: "0"}
	if err := newBox(t, spec).spawn(); err == nil || !strings.Contains(err.Error(), "memory policy MPOL_LOCAL [] 0: set_mempolicy: invalid argument") {
		t.Error(err)
	}
}

func TestNumbers(t *testing.T) {
	for list, want := range map[string][]int{"": nil, "0": {0}, "0-3,7": {0, 1, 2, 3, 7}, "5, 2": {5, 2}} {
		if got, err := numbers(list); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	for _, bad := range []string{",", "1-", "-1", "a", "2-1", "1,,2", "99999999", "0-99999999", "1-2-3", "+1"} {
		if got, err := numbers(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// TestSELinux: what is asked for and absent is an error.
func TestSELinux(t *testing.T) {
	if !hasFileSystem("nodev\tsysfs\nnodev\tselinuxfs\n", "selinuxfs") || hasFileSystem("nodev\tsysfs\n\text4\n\nx selinuxfs2\n", "selinuxfs") {
		t.Error("list of file systems")
	}
	for want, change := range map[string]func(*specs.Spec){
		"set credentials: SELinux label \"a:b:c:d\": ":          func(s *specs.Spec) { s.Process.SelinuxLabel = "a:b:c:d" },
		"open mount sources: SELinux mount label \"a:b:c:d\": ": func(s *specs.Spec) { s.Linux.MountLabel = "a:b:c:d" },
	} {
		spec := defaultSpec("/probe")
		change(spec)
		if err := newBox(t, spec).spawn(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func onlyOneCPU() bool { return runtime.NumCPU() == 1 }

// held lets this whole program run on one processor alone, as a service manager
// may hold an engine, until the test ends.
func held(t *testing.T) {
	t.Helper()
	all := make([]int, 1024)
	for i := range all {
		all[i] = i
	}
	set := func(cpus []int) {
		threads, err := os.ReadDir("/proc/self/task")
		must(t, err)
		for _, d := range threads {
			tid, err := strconv.Atoi(d.Name())
			must(t, err)
			if err := task.SetAffinity(tid, cpus); err != nil && !errors.Is(err, unix.ESRCH) {
				t.Fatal(err)
			}
		}
	}
	set([]int{0})
	t.Cleanup(func() { set(all) })
}

// TestAllProcessors: processes of a container may run on all processors of its
// groups, whatever their maker may.
func TestAllProcessors(t *testing.T) {
	if onlyOneCPU() {
		t.Log("one processor: nothing to tell apart")
	}
	spec := defaultSpec("/probe", "attributes")
	free, _ := newBox(t, spec).run()
	b := running(t, defaultSpec("/probe", "pause"))
	held(t)
	if out, _ := newBox(t, spec).run(); out != free {
		t.Errorf("process 1: %s\nwith all processors: %s", out, free)
	}
	cpus := func(out string) string {
		_, after, _ := strings.Cut(out, "\ncpus ")
		line, _, _ := strings.Cut(after, "\n")
		return line
	}
	p := process("/probe", "attributes")
	for _, isDirect := range []bool{false, true} {
		if out, _, err := b.enterBy(isDirect, p, nil); err != nil || cpus(out) != cpus(free) {
			t.Errorf("a further process, direct %v: %v, %s", isDirect, err, out)
		}
	}
	// What it begins with stays, if nothing else is asked for.
	p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0"}
	if out, _, err := b.enterBy(false, p, nil); err != nil || cpus(out) != "1 true" {
		t.Errorf("initial processors: %v, %s", err, out)
	}
}
