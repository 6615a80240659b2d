package sandbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/ns"
)

// BenchmarkRun is a whole life with output: launch, attach, start, wait,
// remove, of a Go program.
func BenchmarkRun(b *testing.B) {
	for _, warm := range []int{2, -1} {
		b.Run(fmt.Sprintf("warm=%d", max(warm, 0)), func(b *testing.B) {
			r := runtimeFor(b, Options{Warm: warm})
			live(b, r, true, func() *Bundle { return bundle(b, "bench", "exit", "0") })
		})
	}
}

// BenchmarkTrue is the life of a program that does nothing, in a container
// with all that the engine gives one, in a network namespace made beforehand.
func BenchmarkTrue(b *testing.B) {
	program := filepath.Join(programs, "root/bin/true")
	if err := os.WriteFile(program, trueProgram(b), 0o755); err != nil {
		b.Fatal(err)
	}
	r := runtimeFor(b, Options{})
	netns, err := ns.NewNetNS()
	if err != nil {
		b.Fatal(err)
	}
	defer netns.Close()
	live(b, r, false, func() *Bundle {
		r.removals.Wait()
		for n, _ := r.pool.state(); n < r.o.Warm; n, _ = r.pool.state() {
			time.Sleep(time.Millisecond) // as if nobody had launched anything before
		}
		bd := bundle(b, "true")
		bd.Spec, bd.NetNS = engineSpec(b, "/bin/true"), netns
		return bd
	})
}

// live measures lives of containers by their phases: medians.
func live(b *testing.B, r *Runtime, attach bool, next func() *Bundle) {
	ctx := context.Background()
	names := []string{"launch", "attach", "start", "wait", "remove"}
	phases := make([][]time.Duration, len(names))
	whole := []time.Duration{}
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		b.StopTimer()
		bd := next()
		b.StartTimer()
		var at [6]time.Time
		at[0] = time.Now()
		s, err := r.Launch(ctx, bd)
		check(err)
		at[1] = time.Now()
		if attach {
			st, err := s.Attach(ctx, both)
			check(err)
			defer st.Close()
		}
		at[2] = time.Now()
		check(s.Start(ctx))
		at[3] = time.Now()
		_, err = s.Wait(ctx)
		check(err)
		at[4] = time.Now()
		check(s.Remove(ctx))
		at[5] = time.Now()
		b.StopTimer()
		check(bd.Rootfs.Close())
		for i := range names {
			phases[i] = append(phases[i], at[i+1].Sub(at[i]))
		}
		whole = append(whole, at[4].Sub(at[0]))
		b.StartTimer()
	}
	median := func(d []time.Duration, name string) {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds()), "µs-"+name)
	}
	for i, name := range names {
		if attach || name != "attach" {
			median(phases[i], name)
		}
	}
	median(whole, "to-exit")
}

// trueProgram is a static program of a few instructions: exit(0).
func trueProgram(b *testing.B) []byte {
	const base, code = 0x400000, 64 + 56
	machine, text := uint16(62), []byte{0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05} // xor edi,edi; mov eax,60; syscall
	switch runtime.GOARCH {
	case "amd64":
	case "arm64":
		machine, text = 183, []byte{0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4} // mov x0,0; mov x8,93; svc 0
	default:
		b.Fatal("no program for " + runtime.GOARCH)
	}
	le := binary.LittleEndian
	p := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	p = le.AppendUint16(p, 2) // executable
	p = le.AppendUint16(p, machine)
	p = le.AppendUint32(p, 1)
	for _, v := range []uint64{base + code, 64, 0} { // entry, program headers, sections
		p = le.AppendUint64(p, v)
	}
	p = le.AppendUint32(p, 0)
	for _, v := range []uint16{64, 56, 1, 0, 0, 0} {
		p = le.AppendUint16(p, v)
	}
	p = le.AppendUint32(p, 1) // load
	p = le.AppendUint32(p, 5) // readable, executable
	size := uint64(code + len(text))
	for _, v := range []uint64{0, base, base, size, size, 0x1000} {
		p = le.AppendUint64(p, v)
	}
	return append(p, text...)
}

// engineSpec is what the engine asks for when nothing else is said.
func engineSpec(b *testing.B, args ...string) *specs.Spec {
	spec := guestSpec(args)
	caps := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
	spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	spec.Hostname = "0123456789ab"
	plain := []string{"nosuid", "noexec", "nodev"}
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: append([]string{"ro"}, plain...)},
		specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: append([]string{"ro"}, plain...)},
		specs.Mount{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: plain},
		specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: append([]string{"mode=1777", "size=67108864"}, plain...)},
	)
	dir := b.TempDir()
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} {
		file := filepath.Join(dir, name)
		for _, f := range []string{file, filepath.Join(programs, "root/etc", name)} {
			if err := os.WriteFile(f, nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: file, Options: []string{"rbind", "rprivate"}})
	}
	spec.Linux.MaskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
	spec.Linux.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	profile, err := seccomp.GetDefaultProfile(spec)
	if err != nil {
		b.Fatal(err)
	}
	spec.Linux.Seccomp = profile
	return spec
}

// BenchmarkMemory reports the memory of the monitors of 20 idle containers.
func BenchmarkMemory(b *testing.B) {
	r := runtimeFor(b, Options{Warm: -1})
	const n = 20
	var all []*Sandbox
	for i := range n {
		s := r.launch(b, bundle(b, fmt.Sprint("memory", i), "sleep"))
		s.startTest(b)
		all = append(all, s)
	}
	for b.Loop() {
	}
	pss := 0
	for _, s := range all {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.process.pid))
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var kb int
			if _, err := fmt.Sscanf(line, "Pss: %d kB", &kb); err == nil {
				pss += kb
			}
		}
	}
	b.ReportMetric(float64(pss)/n, "kB-PSS/monitor")
	b.ReportMetric(0, "ns/op")
}
