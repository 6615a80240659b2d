package seccomp

import (
	"crypto/sha256"
	"encoding/json"
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
	programs map[[sha256.Size]byte][]byte
}

const maxCached = 64

// Compile returns the program for a profile, as an array of struct
// sock_filter in the machine's byte order. A nil profile gives nil. The result
// is shared: it must not be changed. The error is errdefs.InvalidArgument for
// what the specification does not know, errdefs.NotImplemented for
// notification.
func Compile(p *specs.LinuxSeccomp) ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(text)
	cache.Lock()
	defer cache.Unlock()
	if program, ok := cache.programs[key]; ok {
		return program, nil
	}
	filter, err := compile(p)
	if err != nil {
		return nil, err
	}
	if cache.programs == nil || len(cache.programs) >= maxCached {
		cache.programs = map[[sha256.Size]byte][]byte{}
	}
	program := make([]byte, len(filter)*int(unsafe.Sizeof(filter[0])))
	copy(program, unsafe.Slice((*byte)(unsafe.Pointer(&filter[0])), len(program)))
	cache.programs[key] = program
	return program, nil
}

func compile(p *specs.LinuxSeccomp) ([]unix.SockFilter, error) {
	r, err := resolve(p)
	if err != nil {
		return nil, err
	}
	// The last ABI comes first, so that each jumps over those before it.
	out := []unix.SockFilter{ret(unix.SECCOMP_RET_KILL_PROCESS)}
	for i := len(abis) - 1; i >= 0; i-- {
		a := &abis[i]
		body := append([]unix.SockFilter{load(offsetNumber)}, search(r.steps(a))...)
		out = choose(unix.BPF_JEQ, a.audit, body, out)
	}
	out = append([]unix.SockFilter{load(offsetArch)}, out...)
	if len(out) > maxProgram {
		return nil, fmt.Errorf("seccomp profile: %d instructions, the kernel takes %d: %w", len(out), maxProgram, errdefs.ErrInvalidArgument)
	}
	return out, nil
}
