package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/berth-engine/berth/test/engine"
)

// A cost is what something asks of the kernel, in counts that are the same on a
// busy machine and on an idle one.
type cost struct {
	calls     float64 // system calls, but those by which Go's threads wait for each other
	execs     float64 // programs executed
	processes float64 // made
	fsyncs    float64 // waits for a disk
	rtnl      float64 // netlink messages that take the kernel's one lock of links
}

// columns of the file of budgets.
var columns = []string{"calls", "execs", "processes", "fsyncs", "rtnl"}

func (c *cost) fields() []*float64 {
	return []*float64{&c.calls, &c.execs, &c.processes, &c.fsyncs, &c.rtnl}
}

// slack is by how much a count may be above its budget: threads are now and then
// made, and woken, that are not. few is what may come on top of that: two changes
// wait for a disk together, or each by itself, as they meet.
const slack, few = 1.1, 0.25

// waiting are the calls that are not counted: how often they are made depends on
// who gets a processor when.
const waiting = "!nanosleep,clock_nanosleep,futex,epoll_wait,epoll_pwait,epoll_ctl,sched_yield,sched_getaffinity,tgkill," +
	"rt_sigreturn,rt_sigprocmask,sigaltstack,restart_syscall,madvise,mmap,munmap,gettid,getpid,wait4,waitid"

// budgeted is how often each thing is done.
const budgeted = 10

// runBudget counts what a start and an exec cost, and compares that with the
// budgets in a file, or writes them.
func runBudget(ctx context.Context, o options) error {
	if _, err := exec.LookPath("strace"); err != nil {
		return fmt.Errorf("system calls are counted by strace: %w", err)
	}
	measured := map[string]cost{}
	var names []string
	note := func(name string, c cost) { measured[name], names = c, append(names, name) }
	if err := engineCosts(ctx, note); err != nil {
		return err
	}
	if err := runtimeCosts(ctx, note); err != nil {
		return err
	}
	if o.update {
		f, err := os.Create(o.budget)
		if err != nil {
			return err
		}
		return errors.Join(writeBudgets(f, names, measured), f.Close())
	}
	f, err := os.Open(o.budget)
	if err != nil {
		return err
	}
	defer f.Close()
	budgets, err := readBudgets(f)
	if err != nil {
		return fmt.Errorf("%s: %w", o.budget, err)
	}
	if err := writeBudgets(os.Stdout, names, measured); err != nil {
		return err
	}
	return over(names, measured, budgets)
}

// over is an error that names what costs more than its budget.
func over(names []string, measured, budgets map[string]cost) error {
	var errs []error
	for _, name := range names {
		have, budget := measured[name], budgets[name]
		if _, ok := budgets[name]; !ok {
			errs = append(errs, fmt.Errorf("%s has no budget", name))
			continue
		}
		for i, limit := range budget.fields() {
			if got := *have.fields()[i]; got > *limit*slack+few {
				errs = append(errs, fmt.Errorf("%s: %.1f %s, and the budget is %.1f", name, got, columns[i], *limit))
			}
		}
	}
	return errors.Join(errs...)
}

// tracing makes a folder in which a program of ours is one that strace watches,
// with all its children; the tracer is a grandchild, so that the program is who
// was started.
func tracing(dir, program string) (trace string, err error) {
	bin, err := engine.Bin()
	if err != nil {
		return "", err
	}
	if err := os.Symlink(filepath.Join(bin, "berth"), filepath.Join(dir, "berth")); err != nil {
		return "", err
	}
	trace = filepath.Join(dir, "trace")
	script := fmt.Sprintf("#!/bin/sh\nexec strace -D -f -qq -s 256 --signal=none -o '%s' -e 'trace=%s' '%s' \"$@\"\n", trace, waiting, filepath.Join(bin, program))
	return trace, os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755) //nolint:gosec // it is a program
}

func engineCosts(ctx context.Context, note func(string, cost)) (err error) {
	dir, err := os.MkdirTemp("", "bb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	trace, err := tracing(dir, "berthd")
	if err != nil {
		return err
	}
	own, err := startOwnOf(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.removeAll(context.WithoutCancel(ctx)), own.close()) }()
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"API run, bridge", func() error { return runOnce(ctx, own.target, "bridge") }},
		{"API run, no network", func() error { return runOnce(ctx, own.target, "none") }},
		{"API exec", func() error { _, err := execs(budgeted, execOnce)(ctx, own, own.target); return err }},
	} {
		times := budgeted
		if strings.Contains(c.name, "exec") {
			times = 1 // it does all of them in one container, whose own cost is a part of theirs
		}
		if err := c.run(); err != nil { // the first fills caches
			return fmt.Errorf("%s: %w", c.name, err)
		}
		from, err := settled(ctx, trace)
		if err != nil {
			return err
		}
		for range times {
			if err := c.run(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		if _, err := settled(ctx, trace); err != nil {
			return err
		}
		total, err := counted(trace, from)
		if err != nil {
			return err
		}
		note(c.name, total.each(budgeted))
	}
	return nil
}

func runtimeCosts(ctx context.Context, note func(string, cost)) (err error) {
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	trace, err := tracing(dir, "berth-runtime")
	if err != nil {
		return err
	}
	bin, err := engine.Bin()
	if err != nil {
		return err
	}
	run := func(program string, args ...string) error {
		cmd := exec.CommandContext(ctx, program, append([]string{"--root", filepath.Join(dir, "state")}, args...)...)
		if err := cmd.Run(); err != nil { // nobody reads what a container that goes on writes
			return fmt.Errorf("berth-runtime %s: %w", args[0], err)
		}
		return nil
	}
	once, err := makeBundle(ctx, filepath.Join(dir, "once"), "/bin/true")
	if err != nil {
		return err
	}
	idle, err := makeBundle(ctx, filepath.Join(dir, "idle"), "/bin/sleep", "100000")
	if err != nil {
		return err
	}
	ours := filepath.Join(bin, "berth-runtime")
	if err := run(ours, "run", "-d", "-b", idle, "budget"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run(ours, "delete", "-f", "budget")) }()
	traced := filepath.Join(dir, "berth-runtime")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"berth-runtime run", []string{"run", "-b", once, "once"}},
		{"berth-runtime exec", []string{"exec", "budget", "/bin/true"}},
	} {
		if err := run(traced, c.args...); err != nil {
			return err
		}
		if _, err := settled(ctx, trace); err != nil {
			return err
		}
		total, err := counted(trace, 0) // each run writes it anew
		if err != nil {
			return err
		}
		note(c.name, total)
	}
	return nil
}

// settled waits until nothing is added to a trace for a while, and returns its
// size. Pools refill, and what has ended is put away, after the answer; whether
// links of containers have stayed, the network looks two seconds later.
func settled(ctx context.Context, trace string) (int64, error) {
	const quiet = 2500 * time.Millisecond
	size, since := int64(-1), time.Now()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		info, err := os.Stat(trace)
		if err != nil {
			return 0, err
		}
		if info.Size() != size {
			size, since = info.Size(), time.Now()
		}
		if time.Since(since) > quiet {
			return size, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return size, nil // there is always something to do: that is counted, too
}

// counted counts the calls in a trace from an offset on.
func counted(trace string, from int64) (cost, error) {
	f, err := os.Open(trace)
	if err != nil {
		return cost{}, err
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return cost{}, err
	}
	return count(f)
}

var (
	call    = regexp.MustCompile(`^\d+ +([a-z0-9_]+)\(`)
	request = regexp.MustCompile(`nlmsg_type=(RTM_(NEW|DEL|SET|GET)[A-Z]+|0x10 /\* NLMSG)`) // 0x10: RTM_NEWLINK in another namespace
)

// count reads lines of strace. The second half of a call that was interrupted in
// the listing is no call.
func count(r io.Reader) (c cost, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := s.Text()
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c.calls++
		switch name := m[1]; name {
		case "execve", "execveat":
			if !strings.Contains(line, "= -1 ") {
				c.execs++
			}
		case "clone", "clone3", "fork", "vfork":
			if !strings.Contains(line, "CLONE_THREAD") {
				c.processes++
			}
		case "fsync", "fdatasync", "syncfs", "sync", "sync_file_range", "msync":
			c.fsyncs++
		case "sendto", "sendmsg", "sendmmsg", "write":
			c.rtnl += float64(len(request.FindAllString(line, -1)))
		}
	}
	return c, s.Err()
}

// each is what one of n costs.
func (c cost) each(n int) cost {
	for _, f := range c.fields() {
		*f /= float64(n)
	}
	return c
}

func writeBudgets(w io.Writer, names []string, budgets map[string]cost) error {
	fmt.Fprintln(w, "# What one of each may ask of the kernel (bench -budget): system calls, programs\n# executed, processes made, waits for a disk, netlink messages about links.")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "# case\t"+strings.Join(columns, "\t"))
	for _, name := range names {
		c := budgets[name]
		fmt.Fprint(tw, strings.ReplaceAll(name, " ", "_"))
		for _, f := range c.fields() {
			fmt.Fprintf(tw, "\t%.1f", *f)
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

func readBudgets(r io.Reader) (map[string]cost, error) {
	budgets := map[string]cost{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		words := strings.Fields(s.Text())
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		var c cost
		fields := c.fields()
		if len(words) != len(fields)+1 {
			return nil, fmt.Errorf("%q: want a case and %d numbers", s.Text(), len(fields))
		}
		for i, f := range fields {
			if _, err := fmt.Sscanf(words[i+1], "%g", f); err != nil {
				return nil, fmt.Errorf("%q: %w", s.Text(), err)
			}
		}
		budgets[strings.ReplaceAll(words[0], "_", " ")] = c
	}
	return budgets, s.Err()
}
