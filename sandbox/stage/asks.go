package stage

import (
	"fmt"
	"os"
	"strings"

	"github.com/berth-engine/berth/sandbox/hook"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// asks returns the kinds of frames by which the stage of a container will have
// its parent do something on the host.
func asks(spec *specs.Spec) string {
	var kinds []byte
	if len(spec.Linux.NetDevices) > 0 {
		kinds = append(kinds, frameDevices)
	}
	if runtimeHooks(spec.Hooks) != nil {
		kinds = append(kinds, frameHooks)
	}
	if Notifies(spec) {
		kinds = append(kinds, frameAgent)
	}
	return string(kinds)
}

// serve does what the stage asks for: each kind once, and only if the plan says
// so. Whoever gets hold of a stage in the last moment, by tracing it in a
// shared pid namespace, cannot have programs run on the host.
func (p *Process) serve(kind byte, body []byte, file *os.File) error {
	before, after, expected := strings.Cut(p.asks, string(kind))
	if !expected {
		if file != nil {
			file.Close()
		}
		return fmt.Errorf("container init: unexpected message %q", kind)
	}
	p.asks = before + after
	switch kind {
	case frameDevices:
		return p.moveDevices(body, file)
	case frameHooks:
		return p.createHooks(body)
	default:
		return p.passListener(body, file)
	}
}

// runtimeHooks are those that the stage's parent runs; nil if there are none.
func runtimeHooks(h *specs.Hooks) *specs.Hooks {
	if h == nil {
		return nil
	}
	//nolint:staticcheck // prestart is deprecated, but in use
	r := &specs.Hooks{Prestart: h.Prestart, CreateRuntime: h.CreateRuntime, Poststart: h.Poststart, Poststop: h.Poststop}
	for _, k := range hook.Kinds {
		if len(k.Of(r)) > 0 {
			return r
		}
	}
	return nil
}
