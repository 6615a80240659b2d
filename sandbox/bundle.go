package sandbox

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/sandbox/monitor"
)

// Options configure a Runtime.
type Options struct {
	// ExecRoot is the daemon's exec root. Sandboxes live in
	// ExecRoot/containers/<id>/, mode 0700 (docs/contracts/exec-root.md).
	ExecRoot string
	// Binary is the path of berth-sandbox. It is read once, into one sealed
	// memfd from which every monitor and every process 1 is executed.
	Binary string
	// CgroupParent is the group below which containers' groups are made when
	// the spec names none. Default "/berth".
	CgroupParent string
	// Slice, if it is not empty, has systemd make the containers' groups, in
	// transient scopes; it is the slice of those whose spec names none
	// ("system.slice"). Linux.CgroupsPath has systemd's form then, slice:prefix:name.
	Slice string
	// Warm is how many monitors are kept started ahead. Default 2; negative:
	// none.
	Warm int
	// Calm is how long nothing has to happen to a container before its monitor
	// rests (docs/sandbox.md, At rest). Default 5 s; negative: it never does.
	Calm time.Duration
	// Log receives what no caller can be told. Default: slog.Default().
	Log *slog.Logger
}

// A Bundle says what to run.
type Bundle struct {
	// ID names the sandbox: letters, digits, '_', '.', '-'; at most 128.
	ID string
	// Spec is the complete OCI config. Linux.Resources become the cgroup,
	// Linux.Seccomp is compiled here, Linux.CgroupsPath (if set) is the
	// group's path, else it is CgroupParent/ID.
	Spec *specs.Spec
	// Rootfs is a detached mount that becomes the container's root; NetNS,
	// when not nil, is the network namespace to join. Launch duplicates both;
	// the caller closes its own.
	Rootfs, NetNS *os.File
	// Sources are detached mounts for those entries of Spec.Mounts of type
	// "bind" that have their names as Source, each for exactly one; at most
	// monitor.MaxMounts. Launch duplicates them; the caller closes its own.
	Sources map[string]*os.File
	// StateDir is an existing directory under the data root. The monitor
	// renames exit.json into it before any Wait is answered; Launch removes an
	// older one.
	StateDir string
	// LogDir receives the log (package logblock). Empty: no log.
	LogDir string
	// LogMaxSize (bytes of one file) and LogMaxFiles bound the log. 0: 20 MB
	// and 3 files.
	LogMaxSize  int64
	LogMaxFiles int
	// OpenStdin keeps process 1's standard input open for attached clients;
	// without it, it is /dev/null. StdinOnce closes it when the first attached
	// writer ends.
	OpenStdin, StdinOnce bool
	// Reaper runs the command as child of a minimal process 1 (--init).
	Reaper bool
	// Runtime is another OCI runtime that makes the container: its program by
	// absolute path, and the arguments that come before all others. Nil: Berth.
	Runtime []string
	// Durable makes the exit record survive a power loss before Wait returns.
	Durable bool
}

func (b *Bundle) validate() error {
	if err := validID(b.ID); err != nil {
		return err
	}
	switch {
	case b.Spec == nil || b.Spec.Process == nil || b.Spec.Linux == nil:
		return fmt.Errorf("bundle %s: incomplete spec: %w", b.ID, errdefs.ErrInvalidArgument)
	case b.Rootfs == nil:
		return fmt.Errorf("bundle %s: no root file system: %w", b.ID, errdefs.ErrInvalidArgument)
	case b.StateDir == "":
		return fmt.Errorf("bundle %s: no state directory: %w", b.ID, errdefs.ErrInvalidArgument)
	}
	_, _, err := b.mountSources()
	return err
}

// mountSources finds the mounts that Sources are for, by their index.
func (b *Bundle) mountSources() (names []string, files []*os.File, err error) {
	if len(b.Sources) > monitor.MaxMounts {
		return nil, nil, fmt.Errorf("bundle %s: %d mounts are given, %d can be: %w", b.ID, len(b.Sources), monitor.MaxMounts, errdefs.ErrInvalidArgument)
	}
	used := map[string]int{}
	for i := range b.Spec.Mounts {
		m := &b.Spec.Mounts[i]
		if f := b.Sources[m.Source]; f != nil && m.Type == "bind" {
			used[m.Source]++
			names, files = append(names, monitor.FileMount+strconv.Itoa(i)), append(files, f)
		}
	}
	for name := range b.Sources {
		if used[name] != 1 {
			return nil, nil, fmt.Errorf("bundle %s: %d bind mounts take the given mount %q instead of one: %w", b.ID, used[name], name, errdefs.ErrInvalidArgument)
		}
	}
	return names, files, nil
}

// validID refuses what could leave the exec root or hide in it.
func validID(id string) error {
	ok := id != "" && len(id) <= 128 && id[0] != '.' && id[0] != '-'
	for _, c := range []byte(id) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-')
	}
	if !ok {
		return fmt.Errorf("sandbox id %q: %w", id, errdefs.ErrInvalidArgument)
	}
	return nil
}
