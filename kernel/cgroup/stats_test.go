package cgroup

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestStats(t *testing.T) {
	cleanParent(t)
	g, err := Create(parent, "stats", &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: new(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: new(int64(30))},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	var s Stats
	if err := g.Stats(&s); err != nil {
		t.Fatal(err)
	}
	if s.Memory.Limit != 64<<20 || s.Pids.Limit != 30 || s.Pids.Current != 0 {
		t.Errorf("new: %+v", s)
	}
	// It joins, then touches memory and the processor.
	cmd := sleeper(t, g, "sh", "-c", "read x; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo joined; read x")
	if err := g.Stats(&s); err != nil {
		t.Fatal(err)
	}
	if s.Pids.Current != 1 || s.CPU.Total == 0 || s.CPU.User == 0 || s.Memory.Usage == 0 {
		t.Errorf("%+v", s)
	}
	key := "rss"
	if Detect() == V2 {
		key = "anon"
	}
	// What little it uses, the kernel has not added up yet.
	if _, ok := s.Memory.Detail[key]; !ok {
		t.Errorf("%v", s.Memory.Detail)
	}
	r := g.OpenStats()
	defer r.Close()
	cpu := s.CPU.Total
	if err := r.Read(&s); err != nil || s.CPU.Total < cpu {
		t.Errorf("%d after %d, %v", s.CPU.Total, cpu, err)
	}
	if n := len(s.CPU.PerCPU); Detect() != V2 && n == 0 {
		t.Error("no times of processors")
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if err := g.Destroy(); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func(*Stats) error{g.Stats, r.Read} {
		if err := read(&s); !errdefs.IsNotFound(err) {
			t.Errorf("gone: %v", err)
		}
	}
}

func TestNoLimits(t *testing.T) {
	cleanParent(t)
	g, err := Create(parent, "nolimit", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	var s Stats
	if err := g.Stats(&s); err != nil || s.Memory.Limit != NoLimit || s.Pids.Limit != NoLimit {
		t.Errorf("%+v, %v", s, err)
	}
}

// A file may be longer than the buffer, or missing.
func TestReadLarge(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("8:0 rbytes=1 wbytes=22\n", 1000)
	if err := os.WriteFile(dir+"/io.stat", []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &Group{host: &host{mode: V2}, dirs: map[string]string{unified: dir}}
	var s Stats
	if err := g.Stats(&s); err != nil || len(s.IO.Bytes) != 2000 || s.IO.Bytes[1999] != (IOCount{8, 0, "write", 22}) {
		t.Errorf("%v, %d counts", err, len(s.IO.Bytes))
	}
	if s.Memory.Limit != NoLimit || s.CPU.Total != 0 {
		t.Errorf("%+v", s.Memory)
	}
	if err := os.Mkdir(dir+"/cpu.stat", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := g.Stats(&s); err == nil {
		t.Error("a directory is no file")
	}
}

func TestParseStats(t *testing.T) {
	got := appendBlkio(nil, []byte("8:16 Read 4096"))
	got = appendBlkio(got, []byte("Total 4096"))
	got = appendBlkio(got, []byte("8:16 Total 99999999999999999999"))
	if len(got) != 1 || got[0] != (IOCount{8, 16, "Read", 4096}) {
		t.Errorf("%v", got)
	}
	for text, want := range map[string]uint64{"0": 0, "18446744073709551615": NoLimit} {
		if v, ok := number([]byte(text)); !ok || v != want {
			t.Errorf("%s: %d, %v", text, v, ok)
		}
	}
	for _, text := range []string{"", "max", "-1", "18446744073709551616", "1 "} {
		if v, ok := number([]byte(text)); ok {
			t.Errorf("%q: %d", text, v)
		}
	}
}

func FuzzStatLines(f *testing.F) {
	f.Add([]byte("8:0 Read 1"))
	f.Add([]byte("8:0 rbytes=1 wbytes=2 rios=3"))
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		for _, c := range append(appendBlkio(nil, line), appendIOStat(nil, line)...) {
			if c.Op == "" && !bytes.Contains(line, []byte("  ")) {
				t.Errorf("%q: no operation", line)
			}
		}
		appendNumbers(nil, line)
		parseKill(line)
		if !bytes.Equal(before, line) {
			t.Error("changed its input")
		}
	})
}

func BenchmarkStats(b *testing.B) {
	b.Run("once", func(b *testing.B) {
		benchmarkStats(b, func(g *Group, _ *StatsReader, s *Stats) error { return g.Stats(s) })
	})
	b.Run("again", func(b *testing.B) {
		benchmarkStats(b, func(_ *Group, r *StatsReader, s *Stats) error { return r.Read(s) })
	})
}

func benchmarkStats(b *testing.B, read func(*Group, *StatsReader, *Stats) error) {
	g, err := Create(parent, "bench", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = g.Destroy(); _ = Prune(parent) }()
	r := g.OpenStats()
	defer r.Close()
	var s Stats
	b.ReportAllocs()
	for b.Loop() {
		if err := read(g, r, &s); err != nil {
			b.Fatal(err)
		}
	}
}
