package seccomp

import (
	"encoding/binary"
	"fmt"
	"sync"
	"unsafe"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxProgram is the kernel's limit (BPF_MAXINSNS).
const maxProgram = 4096

// cache keeps compiled programs; a daemon sees few different profiles.
var cache struct {
	sync.Mutex
	programs map[string][]byte // by key
}

const maxCached = 64

// Compile returns the program for a profile, as an array of struct
// sock_filter in the machine's byte order. A nil profile gives nil. The result
// is shared: it must not be changed. The error is errdefs.InvalidArgument for
// what the specification does not know or forbids.
func Compile(p *specs.LinuxSeccomp) ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	k := key(p)
	cache.Lock()
	defer cache.Unlock()
	if program, ok := cache.programs[string(k)]; ok {
		return program, nil
	}
	filter, err := compile(p)
	if err != nil {
		return nil, err
	}
	if cache.programs == nil || len(cache.programs) >= maxCached {
		cache.programs = map[string][]byte{}
	}
	program := make([]byte, len(filter)*int(unsafe.Sizeof(filter[0])))
	copy(program, unsafe.Slice((*byte)(unsafe.Pointer(&filter[0])), len(program)))
	cache.programs[string(k)] = program
	return program, nil
}

// key is the whole profile, with lengths before whatever can be of any length.
// Every container asks for it, so it is made without
// reflection.
func key(p *specs.LinuxSeccomp) []byte {
	b := make([]byte, 0, 16<<10)
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	number := func(n *uint) {
		if n == nil {
			b = append(b, 0)
			return
		}
		b = binary.AppendUvarint(append(b, 1), uint64(*n))
	}
	count := func(n int) { b = binary.AppendUvarint(b, uint64(n)) }
	text(string(p.DefaultAction))
	number(p.DefaultErrnoRet)
	count(len(p.Architectures))
	for _, a := range p.Architectures {
		text(string(a))
	}
	count(len(p.Flags))
	for _, f := range p.Flags {
		text(string(f))
	}
	text(p.ListenerPath)
	text(p.ListenerMetadata)
	count(len(p.Syscalls))
	for i := range p.Syscalls {
		s := &p.Syscalls[i]
		count(len(s.Names))
		for _, name := range s.Names {
			text(name)
		}
		text(string(s.Action))
		number(s.ErrnoRet)
		count(len(s.Args))
		for _, a := range s.Args {
			b = binary.AppendUvarint(b, uint64(a.Index))
			b = binary.AppendUvarint(b, a.Value)
			b = binary.AppendUvarint(b, a.ValueTwo)
			text(string(a.Op))
		}
	}
	return b
}

func compile(p *specs.LinuxSeccomp) ([]unix.SockFilter, error) {
	r, err := resolve(p)
	if err != nil {
		return nil, err
	}
	// The last ABI comes first, so that each jumps over those before it.
	out := []unix.SockFilter{ret(stranger)}
	for i := len(abis) - 1; i >= 0; i-- {
		a := &abis[i]
		body := append([]unix.SockFilter{load(offsetNumber)}, search(r.steps(a))...)
		out = choose(unix.BPF_JEQ, a.audit, body, out)
	}
	out = share(append([]unix.SockFilter{load(offsetArch)}, out...))
	if len(out) > maxProgram {
		return nil, fmt.Errorf("seccomp profile: %d instructions, the kernel takes %d: %w", len(out), maxProgram, errdefs.ErrInvalidArgument)
	}
	return out, nil
}
