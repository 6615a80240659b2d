package stage

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A Forker runs the program of a Config again and again, as a further process
// each time, for whoever has the other end of its control socket
// (ns.Script.Serve). It has joined the container's groups and namespaces and is
// restricted as the Config says, once; what is left for each run is a fork, the
// working directory and the execution. It stays outside of the container's pid
// namespace, so that nobody in there sees it.
type Forker struct {
	// Program is what it executes, a sealed memfd.
	Program *os.File
	// OOMScoreAdj and AppArmor, the profile, are set before it joins anything;
	// empty: they stay as they are.
	OOMScoreAdj, AppArmor string
}

// forkerKinds are the namespaces that a Forker joins. Those that are not the
// container's own it is in already.
const forkerKinds = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// ErrNoForker: each process is to be made by itself.
var ErrNoForker = errors.New("there can be no forker")

// PrepareForker makes one for a further process as for PrepareEntry. It may be
// the work of another process than the one that calls EnterForker. Its error is
// PrepareEntry's, or ErrNoForker.
func PrepareForker(c *Config) (*Forker, error) {
	if _, err := PrepareEntry(c); err != nil {
		return nil, err
	}
	s := &setup{entered: true}
	s.Config = *c
	if c.Spec.Linux == nil {
		s.Spec = &specs.Spec{Process: c.Spec.Process, Linux: &specs.Linux{}}
	}
	if !s.plain() || Notifies(c.Spec) || !unseen(s.capabilitySets()) {
		return nil, ErrNoForker
	}
	p := c.Spec.Process
	f := new(Forker)
	f.OOMScoreAdj, f.AppArmor = scoreAndProfile(p)
	sc, err := s.scriptBegin(allSignals())
	if err != nil {
		return nil, err
	}
	last, err := s.scriptRights(sc, nil)
	if err == nil {
		err = last()
	}
	if err != nil {
		return nil, err
	}
	sc.Serve()
	if err := sc.Chdir(p.Cwd); err != nil {
		return nil, err
	}
	scriptInside(sc)
	sc.Find()
	f.Program, err = sc.Forker(forkerKinds)
	if errors.Is(err, errors.ErrUnsupported) {
		err = ErrNoForker
	}
	return f, err
}

// allSignals are those that have a meaning to reset: who executes the program may
// ignore any.
func allSignals() (all []int) {
	for n := 1; n <= 64; n++ {
		if n != int(unix.SIGKILL) && n != int(unix.SIGSTOP) {
			all = append(all, n)
		}
	}
	return all
}

func (s *setup) capabilitySets() (all []string) {
	if c := s.Spec.Process.Capabilities; c != nil {
		all = slices.Concat(c.Bounding, c.Permitted, c.Inheritable)
	}
	return all
}

// unseen tells whether nobody with these capabilities can look into a process
// that is not dumpable. Between its fork and the execution, the child of a forker
// has the control socket. CAP_SYS_ADMIN gives as much as CAP_SYS_PTRACE.
func unseen(caps []string) bool {
	return !slices.Contains(caps, "CAP_SYS_PTRACE") && !slices.Contains(caps, "CAP_SYS_ADMIN")
}

// EnterForker makes a forker that PrepareForker has prepared. It is the caller's
// child, who ends it and waits for it, before it takes the container's groups
// away. ErrNoForker where the container's namespaces do not allow it.
func EnterForker(e *Entry, f *Forker, control *os.File) (*Process, error) {
	kinds, err := e.namespaces()
	if err != nil {
		return nil, err
	}
	const own = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	if kinds&own != own || kinds&^forkerKinds != 0 {
		return nil, ErrNoForker
	}
	streams, done, err := ownStreams(e, 0)
	if err != nil {
		return nil, err
	}
	defer done()
	sc := &ns.Script{Settings: settings(f.OOMScoreAdj, f.AppArmor)}
	null := streams[0]
	spec := &ns.SpawnSpec{Script: sc, Seal: ns.Given(f.Program), Files: []*os.File{null, control, null}, Nofile: e.Nofile, Outside: true}
	return spawnScript(e, spec, forkerKinds)
}
