package seccomp

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/profiles/seccomp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// data is struct seccomp_data.
type data struct {
	number, arch uint32
	args         [6]uint64
}

// machine returns an interpreter of the program that is not ours.
func machine(t testing.TB, filter []unix.SockFilter) *bpf.VM {
	t.Helper()
	program := make([]bpf.Instruction, len(filter))
	for i, f := range filter {
		program[i] = bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K}.Disassemble()
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func run(t testing.TB, vm *bpf.VM, d data) uint32 {
	t.Helper()
	// The machine loads words in network order, the kernel in its own.
	b := binary.BigEndian.AppendUint32(nil, d.number)
	b = binary.BigEndian.AppendUint32(b, d.arch)
	b = append(b, make([]byte, 8)...)
	for _, a := range d.args {
		b = binary.BigEndian.AppendUint32(b, uint32(a))
		b = binary.BigEndian.AppendUint32(b, uint32(a>>32))
	}
	result, err := vm.Run(b)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(result)
}

// want says what the profile means, from the profile alone.
func want(p *specs.LinuxSeccomp, d data) uint32 {
	plain := wantPlain(p, d)
	if d.arch != unix.AUDIT_ARCH_I386 || !slices.Contains(p.Architectures, specs.ArchX86) {
		return plain
	}
	for _, m := range []struct {
		number uint32
		name   string
		mask   uint64
		calls  map[uint64][]string
	}{
		{102, "socketcall", 0xffffffff, map[uint64][]string{
			1: {"socket"}, 2: {"bind"}, 3: {"connect"}, 4: {"listen"}, 5: {"accept", "accept4"}, 6: {"getsockname"}, 7: {"getpeername"},
			8: {"socketpair"}, 9: {"send", "sendto"}, 10: {"recv", "recvfrom"}, 11: {"sendto"}, 12: {"recvfrom"}, 13: {"shutdown"},
			14: {"setsockopt"}, 15: {"getsockopt"}, 16: {"sendmsg"}, 17: {"recvmsg"}, 18: {"accept4"}, 19: {"recvmmsg"}, 20: {"sendmmsg"},
		}},
		{117, "ipc", 0xffff, map[uint64][]string{
			1: {"semop", "semtimedop"}, 2: {"semget"}, 3: {"semctl"}, 4: {"semtimedop"}, 11: {"msgsnd"}, 12: {"msgrcv"}, 13: {"msgget"},
			14: {"msgctl"}, 21: {"shmat"}, 22: {"shmdt"}, 23: {"shmget"}, 24: {"shmctl"},
		}},
	} {
		if d.number != m.number {
			continue
		}
		own, itself := outcomes(p, m.name)
		if !itself {
			own = []uint32{plain} // which may be that it is too new
		}
		for _, name := range m.calls[d.args[0]&m.mask] {
			possible, named := outcomes(p, name)
			if !named {
				continue
			}
			if strictest := slices.MinFunc(possible, severity); severity(strictest, slices.MaxFunc(own, severity)) < 0 {
				return strictest
			}
			break
		}
	}
	return plain
}

// severity orders actions, the strictest first.
func severity(a, b uint32) int {
	order := []uint32{
		unix.SECCOMP_RET_KILL_PROCESS, unix.SECCOMP_RET_KILL_THREAD, unix.SECCOMP_RET_TRAP, unix.SECCOMP_RET_ERRNO,
		unix.SECCOMP_RET_USER_NOTIF, unix.SECCOMP_RET_TRACE, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_ALLOW,
	}
	return slices.Index(order, a&unix.SECCOMP_RET_ACTION_FULL) - slices.Index(order, b&unix.SECCOMP_RET_ACTION_FULL)
}

// outcomes are all actions that a call can get, depending on its arguments.
func outcomes(p *specs.LinuxSeccomp, name string) (possible []uint32, named bool) {
	fallback, _ := action(p.DefaultAction, p.DefaultErrnoRet)
	possible = []uint32{fallback}
	for _, c := range p.Syscalls {
		if !slices.Contains(c.Names, name) {
			continue
		}
		named = true
		act, _ := action(c.Action, c.ErrnoRet)
		if len(c.Args) == 0 && act != fallback {
			return []uint32{act}, true
		}
		if act != fallback {
			possible = append(possible, act)
		}
	}
	return possible, named
}

func wantPlain(p *specs.LinuxSeccomp, d data) uint32 {
	fallback, _ := action(p.DefaultAction, p.DefaultErrnoRet)
	var s *space
	for i := range abis {
		for j := range abis[i].spaces {
			if c := &abis[i].spaces[j]; abis[i].audit == d.arch && d.number >= c.first {
				s = c
			}
		}
	}
	if s == nil || s.arch != native && !slices.Contains(p.Architectures, s.arch) {
		return unix.SECCOMP_RET_KILL_PROCESS
	}
	newest, named := uint32(0), false
	var conditional *uint32
	for _, c := range p.Syscalls {
		act, _ := action(c.Action, c.ErrnoRet)
		for _, name := range c.Names {
			nr, ok := s.table.lookup(name)
			if !ok {
				continue
			}
			newest, named = max(newest, nr), true
			if nr != d.number || act == fallback {
				continue
			}
			if len(c.Args) == 0 {
				return act
			}
			if conditional == nil && matches(c.Args, d, s.narrow) {
				conditional = &act
			}
		}
	}
	if conditional != nil {
		return *conditional
	}
	for _, c := range p.Syscalls { // calls named later are not newer than newest
		for _, name := range c.Names {
			if nr, ok := s.table.lookup(name); ok {
				newest = max(newest, nr)
			}
		}
	}
	if named && d.number > newest && p.DefaultAction != specs.ActAllow && p.DefaultAction != specs.ActLog {
		return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	}
	return fallback
}

func matches(args []specs.LinuxSeccompArg, d data, narrow bool) bool {
	count := map[uint]int{}
	hits := 0
	alternatives := false
	for _, a := range args {
		count[a.Index]++
		alternatives = alternatives || count[a.Index] > 1
		v, x, y := d.args[a.Index], a.Value, a.ValueTwo
		if narrow {
			v, x, y = uint64(uint32(v)), uint64(uint32(x)), uint64(uint32(y))
		}
		if map[specs.LinuxSeccompOperator]bool{
			specs.OpEqualTo: v == x, specs.OpNotEqual: v != x, specs.OpLessThan: v < x, specs.OpLessEqual: v <= x,
			specs.OpGreaterThan: v > x, specs.OpGreaterEqual: v >= x, specs.OpMaskedEqual: v&x == y,
		}[a.Op] {
			hits++
		}
	}
	return hits == len(args) || alternatives && hits > 0
}

func defaultProfile(t testing.TB, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	p, err := seccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefaultProfile(t *testing.T) {
	for _, caps := range [][]string{nil, {"CAP_SYS_ADMIN"}, {"CAP_NET_RAW", "CAP_SYS_PTRACE"}} {
		p := defaultProfile(t, caps...)
		filter, err := compile(p)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %d instructions", caps, len(filter))
		vm := machine(t, filter)
		values := []uint64{0, 1, 2, 10, 37, 44, 45, 38, 39, 40, 41, 8, 0x20000, 0x20008, 0xffffffff, 1 << 32, 1<<32 | 40, 0x7e020000, 0x10000000, ^uint64(0)}
		for _, a := range abis {
			for _, base := range []uint32{0, 0x40000000} {
				for nr := range uint32(580) {
					for _, v := range values {
						d := data{base + nr, a.audit, [6]uint64{v, v, v, v, v, v}}
						if got, w := run(t, vm, d), want(p, d); got != w {
							t.Fatalf("%+v: %#x, want %#x", d, got, w)
						}
					}
				}
			}
		}
		if got := run(t, vm, data{number: 1, arch: 0xc00000b7 ^ abis[0].audit}); got != unix.SECCOMP_RET_KILL_PROCESS {
			t.Errorf("other architecture: %#x", got)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, kind := range map[string]error{
		`{"defaultAction":"SCMP_ACT_FOO"}`:                                                                                                    errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_NOTIFY"}`:                                                                                                 errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}`:                                                                              errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"m"}`:                                                                           errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]}`:                                       errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}`:                  errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_KILL"}]}`:                                                          errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL","errnoRet":1}]}`:                            errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_VAX"]}`:                                                                errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}`:                                                                                    errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}`: errdefs.ErrInvalidArgument,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL","args":[{"index":1,"op":"SCMP_CMP_X"}]}]}`:  errdefs.ErrInvalidArgument,
	} {
		var p specs.LinuxSeccomp
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		if _, err := Compile(&p); !errors.Is(err, kind) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if b, err := Compile(nil); b != nil || err != nil {
		t.Error("nil profile")
	}
}

func TestCache(t *testing.T) {
	a, err := Compile(defaultProfile(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Compile(defaultProfile(t))
	if err != nil || &a[0] != &b[0] {
		t.Error("compiled twice")
	}
}

var load1 = flag.Bool("load", false, "be the process under the filter")

// TestKernel loads the default profile for real and makes system calls.
// TestKeyCoversProfile: a new field must become part of the key.
func TestKeyCoversProfile(t *testing.T) {
	for typ, n := range map[reflect.Type]int{
		reflect.TypeFor[specs.LinuxSeccomp](): 7, reflect.TypeFor[specs.LinuxSyscall](): 4, reflect.TypeFor[specs.LinuxSeccompArg](): 4,
	} {
		if typ.NumField() != n {
			t.Errorf("%s has %d fields, %d are dealt with", typ, typ.NumField(), n)
		}
	}
	keys := map[string]bool{}
	two := uint(2)
	for _, p := range []*specs.LinuxSeccomp{
		{},
		{DefaultAction: "a"},
		{DefaultErrnoRet: &two},
		{Flags: []specs.LinuxSeccompFlag{"a"}},
		{ListenerPath: "a"},
		{ListenerMetadata: "a"},
		{Architectures: []specs.Arch{"a"}},
		{Architectures: []specs.Arch{"a", ""}},
		{Syscalls: []specs.LinuxSyscall{{}}},
		{Syscalls: []specs.LinuxSyscall{{Names: []string{"ab"}}}},
		{Syscalls: []specs.LinuxSyscall{{Names: []string{"a", "b"}}}},
		{Syscalls: []specs.LinuxSyscall{{Action: "a"}}},
		{Syscalls: []specs.LinuxSyscall{{ErrnoRet: &two}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{}}}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{Index: 1}}}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{Value: 1}}}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{ValueTwo: 1}}}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{Op: "a"}}}}},
	} {
		k := string(key(p))
		if keys[k] {
			t.Errorf("%+v has the key of another", p)
		}
		keys[k] = true
	}
}

func TestKernel(t *testing.T) {
	if *load1 {
		underFilter(t)
		return
	}
	out, err := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKernel$", "-load").CombinedOutput()
	got, _, _ := strings.Cut(string(out), "PASS")
	const wanted = "getpid ok\nadd_key EPERM\nAF_ALG EPERM\nAF_VSOCK EPERM\nunshare EPERM\nclone3 ENOSYS\nfuture ENOSYS\nsocket ok\n"
	if err != nil || got != wanted {
		t.Errorf("%v\n%s", err, out)
	}
}

func underFilter(t *testing.T) {
	runtime.LockOSThread()
	program, err := Compile(defaultProfile(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := task.NoNewPrivs(); err != nil {
		t.Fatal(err)
	}
	if err := task.LoadSeccomp(program, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		nr, a, b uintptr
	}{
		{"getpid", unix.SYS_GETPID, 0, 0},
		{"add_key", unix.SYS_ADD_KEY, 0, 0},
		{"AF_ALG", unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET},
		{"AF_VSOCK", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM},
		{"unshare", unix.SYS_UNSHARE, unix.CLONE_NEWNS, 0},
		{"clone3", unix.SYS_CLONE3, 0, 0},
		{"future", 999, 0, 0},
		{"socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM},
	} {
		_, _, e := syscall.RawSyscall(c.nr, c.a, c.b, 0)
		text := "ok"
		if e != 0 {
			text = unix.ErrnoName(e)
		}
		fmt.Fprintln(os.Stdout, c.name, text)
	}
}

// FuzzCompile makes profiles and calls from bytes and compares the program
// with the profile's meaning.
func FuzzCompile(f *testing.F) {
	f.Add([]byte("a profile"), uint32(1), uint64(2))
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 200, 201, 202, 203, 204}, uint32(56), ^uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, nr uint32, v uint64) {
		next := func() uint64 {
			if len(b) == 0 {
				return 0
			}
			x := uint64(b[0])
			b = b[1:]
			return x
		}
		actions := []specs.LinuxSeccompAction{
			specs.ActAllow, specs.ActErrno, specs.ActKillProcess, specs.ActTrap, specs.ActLog, specs.ActTrace, specs.ActKillThread, specs.ActNotify,
		}
		several := []string{"socketcall", "socket", "accept", "accept4", "send", "bind", "ipc", "semop", "shmat", "msgget"}
		values := []uint64{0, 1, 2, v, v + 1, v - 1, 1 << 32, 1<<32 - 1, v << 32, ^v}
		p := &specs.LinuxSeccomp{DefaultAction: actions[next()%7], ListenerPath: "/agent"}
		if next()%2 == 0 {
			p.Architectures = []specs.Arch{specs.ArchX86, specs.ArchX32, specs.ArchARM}
		}
		for len(b) > 0 && len(p.Syscalls) < 200 {
			c := specs.LinuxSyscall{Action: actions[next()%8]}
			for range next()%3 + 1 {
				tab := abis[0].spaces[0].table
				name := tab[(next()<<8|next())%uint64(len(tab))].name
				if n := next() % 20; n < 10 {
					name = several[n]
				}
				if c.Action == specs.ActNotify && (name == "write" || name == "sendmsg") {
					name = "read"
				}
				c.Names = append(c.Names, name)
			}
			for range next() % 4 {
				c.Args = append(c.Args, specs.LinuxSeccompArg{
					Index: uint(next() % 6), Op: operators[next()%7], Value: values[next()%10], ValueTwo: values[next()%10],
				})
			}
			p.Syscalls = append(p.Syscalls, c)
		}
		filter, err := compile(p)
		if err != nil && strings.Contains(err.Error(), "the kernel takes") {
			return // too many rules
		}
		if err != nil {
			t.Fatal(err)
		}
		vm := machine(t, filter)
		numbers := []uint32{nr, nr % 512, 102, 117, 102, 117, 0, 0x40000000, 0xffffffff, 0x40000000 + nr%600}
		for _, c := range p.Syscalls {
			for _, a := range abis {
				for _, s := range a.spaces {
					if n, ok := s.table.lookup(c.Names[0]); ok {
						numbers = append(numbers, n, n+1)
					}
				}
			}
		}
		for _, a := range abis {
			for i, n := range numbers {
				d := data{number: n, arch: a.audit}
				for j := range d.args {
					d.args[j] = values[(i+j)%len(values)]
				}
				if n == 102 || n == 117 {
					d.args[0] = v%26 | v&^0xffff
				}
				if got, w := run(t, vm, d), want(p, d); got != w {
					t.Fatalf("%+v: %#x, want %#x of %+v", d, got, w, p)
				}
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	p := defaultProfile(b)
	for b.Loop() {
		if _, err := compile(p); err != nil {
			b.Fatal(err)
		}
	}
}
