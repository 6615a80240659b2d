package stage

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// direct makes a further process without a stage: the process that joins the
// container also restricts itself and executes the program (ns.Script), so that
// it runs when direct returns. It is nil where that cannot be: the order asks
// for more, the container has a user namespace, or anything went wrong. Nothing
// has happened then, and the stage is tried, which says what is wrong.
func direct(e *Entry) *Process {
	s, kinds, err := plainOrder(e)
	if err != nil {
		return nil
	}
	streams, done, err := ownStreams(e, s.Spec.Process.User.UID)
	if err != nil {
		return nil
	}
	defer done()
	script, err := s.script()
	if err != nil {
		return nil
	}
	p, err := spawnScript(e, &ns.SpawnSpec{Script: script, Seal: e.Seal, Files: streams, Setsid: true, Nofile: e.Nofile}, kinds)
	if err != nil {
		return nil
	}
	p.Warnings = s.warnings
	return p
}

// errStage: an order asks for more than can be done without a stage.
var errStage = errors.New("the process needs a stage")

// plainOrder reads an order that needs no stage. kinds are the namespaces to join.
func plainOrder(e *Entry) (_ *setup, kinds int, err error) {
	text, err := readAll(e.Order)
	if err != nil {
		return nil, 0, err
	}
	s := &setup{entered: true}
	if err := decode(text, s.order.describe); err != nil {
		return nil, 0, err
	}
	kinds, err = e.namespaces()
	if err == nil && (!s.plain() || kinds&unix.CLONE_NEWUSER != 0) {
		err = errStage
	}
	return s, kinds, err
}

// spawnScript makes the process, whose program runs then.
func spawnScript(e *Entry, spec *ns.SpawnSpec, kinds int) (*Process, error) {
	p := &Process{container: e.Pid, running: true}
	err := p.spawn(e, spec, kinds)
	if err != nil {
		return nil, err
	}
	if p.StartTime, err = ns.ProcessStartTime(p.Pid); err != nil {
		p.Abandon()
		return nil, err
	}
	return p, nil
}

// plain tells whether the process is one as most are.
func (s *setup) plain() bool {
	p, l := s.Spec.Process, s.Spec.Linux
	return !p.Terminal && s.Preserve == 0 && !s.Notify && p.SelinuxLabel == "" && p.Scheduler == nil && p.IOPriority == nil &&
		p.ExecCPUAffinity == nil && l.Personality == nil && l.MemoryPolicy == nil
}

// ownStreams are the standard streams as streams leaves them to the program.
func ownStreams(e *Entry, uid uint32) (out []*os.File, done func(), err error) {
	root, err := os.OpenFile("/proc/"+strconv.Itoa(e.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err == nil {
		err = ns.PidfdSignal(e.PidFD, 0) // it was the root of this process
	}
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	null, err := mount.OpenDevice(root, os.DevNull, 1, 3, os.O_RDWR)
	if errors.Is(err, os.ErrNotExist) {
		null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0) // no /dev in this container
	}
	if err != nil {
		return nil, nil, err
	}
	done = func() { null.Close() }
	for _, f := range []*os.File{e.Stdin, e.Stdout, e.Stderr} {
		isNull := f == nil
		if !isNull {
			if isNull, err = mount.IsDevice(f, 1, 3); err == nil && !isNull && uid != 0 {
				err = chown(int(f.Fd()), uid)
			}
		}
		if err != nil {
			done()
			return nil, nil, err
		}
		if isNull {
			f = null
		}
		out = append(out, f)
	}
	return out, done, nil
}

// ignored are the signals that this process ignores, as it has from its start.
var ignored = sync.OnceValues(task.IgnoredSignals)

// script says what a stage would do; the order is entryMain's.
func (s *setup) script() (*ns.Script, error) {
	signals, err := ignored()
	if err != nil {
		return nil, err
	}
	sc, err := s.scriptBegin(signals)
	if err != nil {
		return nil, err
	}
	if err := sc.Chdir(s.Spec.Process.Cwd); err != nil {
		return nil, err
	}
	scriptInside(sc)
	last, err := s.scriptRights(sc, sc.Tell)
	if err != nil {
		return nil, err
	}
	sc.Find()
	if len(s.Seccomp) == 0 {
		sc.Tell()
	}
	return sc, last()
}

// scriptBegin is what comes before the working directory. signals are ignored.
func (s *setup) scriptBegin(signals []int) (*ns.Script, error) {
	p := s.Spec.Process
	sc := &ns.Script{Args: p.Args, Env: p.Env, Program: candidates(p.Args[0], p.Env)}
	sc.Settings = settings(scoreAndProfile(p))
	sc.AllProcessors(task.Everywhere[:])
	sc.DefaultSignals(signals)
	if !s.KeepKeyring {
		scriptKeyring(sc)
	}
	for _, l := range p.Rlimits {
		n, err := limitNumbers.number("rlimit type", l.Type)
		if err != nil {
			return nil, err
		}
		sc.SetLimit(int(n), l.Soft, l.Hard)
	}
	sc.Umask(umask(p))
	return sc, nil
}

// scriptRights gives up what the program shall not have. last, a filter or
// nothing, is to be the last but the execution. tell is called before a filter is
// loaded; nil: nobody wants to know.
func (s *setup) scriptRights(sc *ns.Script, tell func()) (last func() error, err error) {
	p := s.Spec.Process
	filter := func() error { return nil }
	if len(s.Seccomp) > 0 {
		flags, err := s.filterFlags()
		if err != nil {
			return nil, err
		}
		filter = func() error {
			if tell != nil {
				tell()
			}
			return scriptFilter(sc, s.Seccomp, flags)
		}
	}
	if p.NoNewPrivileges {
		sc.NoNewPrivs()
	} else if err := filter(); err != nil {
		return nil, err
	}
	caps, err := s.capabilities()
	if err == nil {
		err = scriptBounding(sc, caps.bounding)
	}
	if err != nil {
		return nil, err
	}
	sc.SetUser(p.User.UID, p.User.GID, p.User.AdditionalGids)
	scriptCaps(sc, &caps)
	scriptUndumpable(sc)
	if p.NoNewPrivileges {
		return filter, nil
	}
	return func() error { return nil }, nil
}

// scoreAndProfile are what a process needs settings for.
func scoreAndProfile(p *specs.Process) (score, profile string) {
	if p.OOMScoreAdj != nil {
		score = strconv.Itoa(*p.OOMScoreAdj)
	}
	if p.ApparmorProfile != "" && !needless(p.ApparmorProfile) {
		profile = p.ApparmorProfile
	}
	return score, profile
}

// settings are those of a process that is made directly; empty: it stays as it is.
func settings(score, profile string) (all []ns.Setting) {
	if score != "" {
		all = append(all, ns.Setting{Path: "/proc/self/oom_score_adj", Value: score})
	}
	if profile != "" {
		all = append(all, ns.Setting{Path: "/proc/self/attr/apparmor/exec", Value: "exec " + profile})
	}
	return all
}

// needless tells whether a profile asks for nothing: on a host without AppArmor,
// everything is unconfined.
func needless(profile string) bool {
	return profile == "unconfined" && unix.Access("/proc/self/attr/apparmor", unix.F_OK) != nil
}

// umask is the process's.
func umask(p *specs.Process) uint32 {
	if p.User.Umask != nil {
		return *p.User.Umask & 0o777
	}
	return 0o022
}

// candidates are the places where lookPath looks, in its order; none if it has
// more to say than where the program is.
func candidates(name string, env []string) (files []string) {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	paths := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			paths = v
		}
	}
	for dir := range strings.SplitSeq(paths, ":") {
		if !path.IsAbs(dir) || name == "" {
			return nil
		}
		files = append(files, path.Join(dir, name))
	}
	return files
}
