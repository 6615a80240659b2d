// Command berth-runtime makes containers from OCI bundles. Its command line is
// runc's, so that containerd, dockerd, Podman and CRI-O can use it in runc's
// place. docs/runtime.md says what differs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/kernel/timerslack"
	"github.com/berth-engine/berth/sandbox/lifecycle"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Set by the linker.
var (
	version = "0.1.0-dev"
	commit  string
)

// program is what the commands share.
type program struct {
	root     *lifecycle.Root
	log      *logger
	rootless string
	criu     string
}

// verb is a command of the command line. Its flags are declared by flags, and
// do gets what follows them.
type verb struct {
	name, args, about string
	min, max          int // arguments; max < 0: any number
	flags             func(f *flag.FlagSet)
	programLast       bool // arguments from the first one on are not ours to parse, even if they look like flags
	do                func(ctx context.Context, p *program, args []string) (status int, err error)
}

func verbs() []*verb {
	all := []*verb{
		checkpointVerb(),
		createVerb(), deleteVerb(), eventsVerb(), execVerb(), featuresVerb(), killVerb(), listVerb(), pauseVerb(),
		psVerb(), restoreVerb(), resumeVerb(), runVerb(), specVerb(), startVerb(), stateVerb(), updateVerb(),
	}
	slices.SortFunc(all, func(a, b *verb) int { return strings.Compare(a.name, b.name) })
	return all
}

func main() {
	// One thing after the other: a second processor would cost more switches
	// between threads than it could take work over.
	runtime.GOMAXPROCS(1)
	timerslack.Widen(300 * time.Microsecond)
	os.Exit(realMain())
}

func realMain() int {
	p := &program{log: newLogger(), root: &lifecycle.Root{}}
	f := flag.NewFlagSet("berth-runtime", flag.ContinueOnError)
	f.Usage = func() { usage(f) }
	f.StringVar(&p.root.Dir, "root", defaultRoot(), "`directory` of the containers' states")
	f.BoolVar(&p.root.Systemd, "systemd-cgroup", false, "let systemd make cgroups; cgroupsPath has the form slice:prefix:name")
	f.StringVar(&p.rootless, "rootless", "auto", "containers of a user who is not root: false, or auto, which is the same; true is refused")
	f.StringVar(&p.criu, "criu", "criu", "`program` that checkpoint and restore use, a path or a name to look up in $PATH")
	f.StringVar(&p.log.path, "log", "", "`file` to log to instead of standard error")
	f.StringVar(&p.log.format, "log-format", "text", "text or json")
	f.BoolVar(&p.log.debug, "debug", false, "log more")
	showVersion := f.Bool("version", false, "print the version")
	f.BoolVar(showVersion, "v", false, "print the version")
	if err := f.Parse(os.Args[1:]); err != nil {
		return parseStatus(err)
	}
	if *showVersion {
		printVersion()
		return 0
	}
	if f.NArg() == 0 || f.Arg(0) == "help" || f.Arg(0) == "h" {
		return help(f)
	}
	if err := p.log.open(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// What the caller had open and did not mean for us is nothing for a stage,
	// which may wait long.
	if err := task.CloseOnExec(3); err != nil {
		p.log.fatal(withRemedy(err))
		return 1
	}
	p.root.Warn = p.log.warn
	if p.log.debug {
		p.root.Debug = p.log.tell
	}
	status, err := p.run(f.Args())
	if err != nil {
		p.log.fatal(withRemedy(err))
	}
	return status
}

func (p *program) run(args []string) (int, error) {
	v, err := find(args[0])
	if err != nil {
		return noTopic, err
	}
	if err := p.privileged(v.name); err != nil {
		return 1, err
	}
	if p.root.Dir, err = filepath.Abs(p.root.Dir); err != nil {
		return 1, err
	}
	if p.root.Dir == "/" {
		return 1, errors.New("option --root argument should not be set to /")
	}
	f := v.flagSet()
	args = args[1:]
	rest, err := v.parse(f, args)
	if err != nil {
		return parseStatus(err), nil
	}
	if n := len(rest); n < v.min || v.max >= 0 && n > v.max {
		verbUsage(v, f)
		return 1, fmt.Errorf("%q takes %s", v.name, strings.TrimSpace("arguments: "+v.args))
	}
	p.log.debugf("%s %s begins", v.name, strings.Join(rest, " "))
	status, err := v.do(context.Background(), p, rest)
	p.log.debugf("%s ends with status %d", v.name, status)
	if err != nil {
		if slices.Contains([]string{"create", "run", "exec", "restore", "checkpoint"}, v.name) {
			err = fmt.Errorf("berth-runtime %s failed: %w", v.name, err)
		}
		if status <= 0 {
			status = 1
		}
	}
	return status, err
}

// help prints the usage of the command that "help" is followed by, or of all.
func help(f *flag.FlagSet) int {
	if f.NArg() < 2 {
		usage(f)
		return 0
	}
	v, err := find(f.Arg(1))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return noTopic
	}
	verbUsage(v, v.flagSet())
	return 0
}

// noTopic is the exit status for a command that does not exist.
const noTopic = 3

func find(name string) (*verb, error) {
	all := verbs()
	i := slices.IndexFunc(all, func(v *verb) bool { return v.name == name })
	if i < 0 {
		return nil, fmt.Errorf("No help topic for '%s'", name)
	}
	return all[i], nil
}

// flagSet has the command's flags.
func (v *verb) flagSet() *flag.FlagSet {
	f := flag.NewFlagSet(v.name, flag.ContinueOnError)
	f.Usage = func() { verbUsage(v, f) }
	if v.flags != nil {
		v.flags(f)
	}
	return f
}

// privileged refuses what is for users other than root. Their containers would
// have no control groups.
func (p *program) privileged(verb string) error {
	if p.rootless != "auto" {
		asked, err := strconv.ParseBool(p.rootless)
		if err != nil {
			return fmt.Errorf("--rootless %q: it is true, false or auto", p.rootless)
		}
		if asked {
			return errors.New("--rootless=true: containers without control groups, for users other than root, are not supported")
		}
	}
	if os.Geteuid() != 0 && slices.Contains([]string{"create", "run", "exec", "restore"}, verb) {
		return fmt.Errorf("%s needs root: containers of other users are not supported", verb)
	}
	return nil
}

// parse returns the arguments. Flags may stand among them, as with runc.
func (v *verb) parse(f *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		begin := len(args) - f.NArg()
		if f.NArg() == 0 || v.programLast || begin > 0 && args[begin-1] == "--" {
			return append(rest, f.Args()...), nil
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
}

// parseStatus is the exit status after package flag has complained, or helped.
func parseStatus(err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	return 1
}

// defaultRoot is in a file system that a reboot empties, and the user's own.
func defaultRoot() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		return filepath.Join(dir, "berth-runtime")
	}
	return "/run/berth-runtime"
}

// printVersion has the lines that tools look for in runc's.
func printVersion() {
	fmt.Fprintln(os.Stdout, programName(), "version", version)
	if commit != "" {
		fmt.Fprintln(os.Stdout, "commit:", commit)
	}
	fmt.Fprintln(os.Stdout, "spec:", specs.Version)
	fmt.Fprintln(os.Stdout, "go:", runtime.Version())
}
