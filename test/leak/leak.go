// Package leak tells what a test left behind on the host. A State is read
// before and after; Diff names everything that differs: mounts, network links,
// cgroups, nftables rules, Berth's processes and the files below the engine's
// directories. Reading it changes nothing.
package leak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// State is the host at one moment: for every kind of resource, the sorted
// names of what exists.
type State map[string][]string

// Read collects the state. roots are directories whose entries count (an
// engine's data-root and exec-root); skip says which paths below them do not,
// for files that may grow legitimately, such as a database.
func Read(ctx context.Context, roots []string, skip func(path string) bool) (State, error) {
	s := State{}
	var errs []error
	for kind, read := range map[string]func(context.Context) ([]string, error){
		"mount":   mounts,
		"link":    links,
		"cgroup":  cgroups,
		"nft":     rules,
		"process": processes,
	} {
		got, err := read(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", kind, err))
		}
		slices.Sort(got)
		s[kind] = got
	}
	for _, root := range roots {
		got, err := files(root, skip)
		if err != nil {
			errs = append(errs, err)
		}
		s["file"] = append(s["file"], got...)
	}
	slices.Sort(s["file"])
	return s, errors.Join(errs...)
}

// Diff lists what was added ("+ kind name") and what went ("- kind name")
// between two states, sorted.
func Diff(before, after State) []string {
	var out []string
	for kind, names := range after {
		out = append(out, missing("+ "+kind, names, before[kind])...)
	}
	for kind, names := range before {
		out = append(out, missing("- "+kind, names, after[kind])...)
	}
	slices.Sort(out)
	return out
}

// missing tells which of names are not in other, counting repetitions.
func missing(label string, names, other []string) []string {
	count := map[string]int{}
	for _, n := range other {
		count[n]++
	}
	var out []string
	for _, n := range names {
		if count[n]--; count[n] < 0 {
			out = append(out, label+" "+n)
		}
	}
	return out
}

func mounts(context.Context) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		out = append(out, f[4]+" "+f[len(f)-3])
	}
	return out, nil
}

func links(context.Context) ([]string, error) {
	entries, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		// Those of prepared namespaces come and go; their number is what counts.
		if strings.HasPrefix(name, "veth") {
			name = "veth"
		}
		out = append(out, name)
	}
	return out, nil
}

// cgroups lists every group of every hierarchy that Berth made, but the two
// that all engines of a host share and leave to each other: the parent, and
// that of the monitors.
func cgroups(context.Context) ([]string, error) {
	var out []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() && strings.Contains(path, "/berth/") && !strings.HasSuffix(path, "/berth/monitors") {
			out = append(out, path)
		}
		return nil
	})
	return out, err
}

func rules(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "nft", "--stateless", "list", "ruleset").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("nft list ruleset: %w: %s", err, bytes.TrimSpace(out))
	}
	var lines []string
	table := ""
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "table ") {
			table = strings.TrimSuffix(strings.TrimSpace(line), " {")
		}
		// A rule set is compared line by line; elements of one set stand in one
		// statement over several lines, each of which counts.
		if text := strings.TrimSpace(line); text != "" && text != "}" {
			lines = append(lines, table+": "+text)
		}
	}
	return lines, nil
}

// processes lists every process of Berth, and every process that lives in
// another mount namespace than ours (a container's), by what it is, not by pid.
func processes(context.Context) ([]string, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, dir := range dirs {
		comm, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			continue // it ended while we looked
		}
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		group, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		name := strings.TrimSpace(string(comm))
		if bytes.Contains(group, []byte("/berth/")) || strings.HasPrefix(name, "berth") {
			args := strings.TrimSpace(string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
			if strings.HasPrefix(args, "berth-init") && strings.HasPrefix(parent(dir), "berth-monitor") {
				continue // a stage that a monitor has ready, in whatever group yet; it ends with the monitor
			}
			pid, _ := strconv.Atoi(filepath.Base(dir))
			if pid == os.Getpid() {
				continue
			}
			if strings.HasPrefix(args, "berth-monitor ") {
				args = "berth-monitor" // what follows changes when it rests
			}
			if args != "" {
				name = args // the short name is the file's until the process has chosen one
			}
			out = append(out, name)
		}
	}
	return out, nil
}

// parent is the command line of a process's parent; empty if it has ended.
func parent(dir string) string {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return ""
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return ""
	}
	cmdline, _ := os.ReadFile(filepath.Join("/proc", string(fields[1]), "cmdline"))
	return string(cmdline)
}

func files(root string, skip func(string) bool) ([]string, error) {
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if skip != nil && skip(path) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		out = append(out, compacted.ReplaceAllString(path, "/image/content/blobs/sha256/$1"))
		return nil
	})
	return out, err
}

// compacted is the record of a layer, in whose place there was the layer before,
// or will be (docs/contracts/remake.md).
var compacted = regexp.MustCompile("/image/remade/([0-9a-f]{64})$")
