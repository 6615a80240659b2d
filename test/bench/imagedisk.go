package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berth-engine/berth/oci"
)

const diskCase = "disk use of the image (goal: Docker's)"

// disk pulls the image, as several compressors pack it, and compares what it takes
// when nothing is going on any more; then saves it, where it is kept once.
func (b *images) disk(ctx context.Context, o options, r *report) (err error) {
	own, err := startOwn(ctx, "--image-compact-after", "1s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.close()) }()
	if err := b.remove(ctx, b.docker.target); err != nil { // it has the same layers
		return err
	}
	paths, err := sample(o.images.mb << 20)
	if err != nil {
		return err
	}
	for _, compressor := range []string{"Go's gzip", "pgzip", "GNU gzip"} {
		image, _, err := makeImage(paths, compressor)
		if err != nil {
			return err
		}
		if err := (oci.Remote{Registry: "http://" + own.hub.Addr, Repository: "bench/disk"}).Push(ctx, image, "1"); err != nil {
			return err
		}
		name := own.hub.Addr + "/bench/disk:1"
		for _, e := range b.stores(own) {
			if err := b.keep(ctx, e, compressor, name, r); err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
		}
	}
	return nil
}

// imageStore is what keeps images: an engine, or containerd alone, which is the
// other store that Docker has.
type imageStore struct {
	*target
	name, root string
	pid        int
	prefix     []string // of the client's commands
	saves      bool     // the cost of its save is of interest
}

func (b *images) stores(own *own) []imageStore {
	data, pid := filepath.Join(b.docker.dir, "data"), b.docker.cmd.Process.Pid
	ctr := *b.docker.target
	ctr.cli = "ctr"
	return []imageStore{
		{target: own.target, name: own.name, root: own.daemon.DataRoot(), pid: own.daemon.Pid(), saves: true},
		{target: b.docker.target, name: b.docker.name, root: data, pid: pid, saves: true},
		{
			target: &ctr, name: "containerd's store", root: data, pid: pid,
			prefix: []string{"--address", filepath.Join(b.docker.dir, "exec", "containerd", "containerd.sock"), "images"},
		},
	}
}

// keep measures what an image takes when its store is at rest, and what it costs
// then to save it.
func (b *images) keep(ctx context.Context, e imageStore, compressor, name string, r *report) error {
	run := func(args ...string) error { return e.command(ctx, e.cli, append(slices.Clone(e.prefix), args...)...) }
	use := func() (float64, error) {
		if err := atRest(ctx, e.pid); err != nil {
			return 0, err
		}
		return diskUse(e.root)
	}
	before, err := use()
	if err != nil {
		return err
	}
	quiet, remove := []string{"pull", "-q", name}, "rmi"
	if e.prefix != nil {
		quiet, remove = []string{"pull", "--plain-http", name}, "rm"
	}
	if err := run(quiet...); err != nil {
		return err
	}
	after, err := use()
	if err != nil {
		return err
	}
	r.add(benchCase{name: diskCase + ", packed by " + compressor, unit: "MB"}, e.name, after-before)
	if e.saves {
		out := filepath.Join(b.dir, "saved.tar")
		c, err := e.cost(ctx, e.pid, "save", "-o", out, name)
		if err := errors.Join(err, os.Remove(out)); err != nil {
			return err
		}
		r.add(benchCase{name: "save at rest, packed by " + compressor, unit: "MB/s"}, e.name, b.mb/c.wall.Seconds())
		r.add(benchCase{name: "save at rest, packed by " + compressor + ", processor time", unit: "s"}, e.name, c.cpu.Seconds())
	}
	return run(remove, name)
}

// diskUse is how many MB the files below a folder occupy, each once.
func diskUse(root string) (float64, error) {
	type file struct{ dev, ino uint64 }
	seen := map[file]bool{}
	total := int64(0)
	err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if f := (file{st.Dev, st.Ino}); !seen[f] {
			seen[f] = true
			total += st.Blocks * 512
		}
		return nil
	})
	return float64(total) / 1e6, err
}

// atRest waits until a process and those below it have done next to nothing for a
// few seconds.
func atRest(ctx context.Context, pid int) error {
	const look, quiet = time.Second, 4
	last, err := treeTime(pid)
	if err != nil {
		return err
	}
	for still := 0; still < quiet; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		now, err := treeTime(pid)
		if err != nil {
			return err
		}
		if still++; now-last > 50*time.Millisecond {
			still = 0
		}
		last = now
	}
	return nil
}

// treeTime is how long a process and all below it, also those that have ended,
// have used a processor.
func treeTime(pid int) (time.Duration, error) {
	list, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	parents, times := map[int]int{}, map[int]time.Duration{}
	for _, path := range list {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may hold anything.
		head, rest, ok := strings.Cut(string(data[:min(len(data), 32)]), " ")
		at := strings.LastIndexByte(string(data), ')')
		fields := strings.Fields(string(data[at+1:]))
		id, err := strconv.Atoi(head)
		if !ok || rest == "" || at < 0 || err != nil || len(fields) < 15 {
			return 0, fmt.Errorf("%s: %q", path, data)
		}
		parents[id], _ = strconv.Atoi(fields[1])
		for _, ticks := range fields[11:15] { // of itself and its children, user and system
			n, err := strconv.ParseInt(ticks, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			times[id] += time.Duration(n) * 10 * time.Millisecond // ticks, as the kernel tells them to all
		}
	}
	if _, ok := times[pid]; !ok {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	total := time.Duration(0)
	for id := range times {
		for at := id; at > 1; at = parents[at] {
			if at == pid {
				total += times[id]
				break
			}
		}
	}
	return total, nil
}

// processParts is what a process has used of the processor so far, in programs and
// in the kernel, in milliseconds.
func processParts(pid int) (programs, kernel float64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name, in brackets, may hold anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0, 0, fmt.Errorf("process %d: %q", pid, data)
	}
	const tick = 10 // ms, as the kernel tells it to all
	for i, part := range []*float64{&programs, &kernel} {
		n, err := strconv.ParseFloat(fields[11+i], 64)
		if err != nil {
			return 0, 0, fmt.Errorf("process %d: %w", pid, err)
		}
		*part = n * tick
	}
	return programs, kernel, nil
}
