package network

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/plugin"
)

// callPlugin calls a method of a plugin that implements a capability. The plugin is
// looked for each time: it may have been started after the engine. An error that it
// tells of has Docker's words.
func (m *Manager) callPlugin(ctx context.Context, name, capability, method string, args any, ret failing) error {
	p, err := m.plugin(ctx, name, capability)
	if err != nil {
		return err
	}
	if err := p.Call(ctx, capability+"."+method, args, ret); err != nil {
		return err
	}
	if text := ret.failed(); text != "" {
		return fmt.Errorf("remote: %s", text)
	}
	return nil
}

// failing is an answer that may say that nothing came of it.
type failing interface{ failed() string }

// outcome is what every answer has.
type outcome struct{ Err string }

func (o *outcome) failed() string { return o.Err }

// plugin finds a plugin that implements a capability. There is none: NotFound, with
// Docker's text.
func (m *Manager) plugin(ctx context.Context, name, capability string) (*plugin.Plugin, error) {
	err := error(errdefs.ErrNotFound)
	if m.o.Plugins != nil {
		var p *plugin.Plugin
		if p, err = m.o.Plugins.Get(ctx, name, capability); err == nil {
			return p, nil
		}
	}
	if errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) {
		err = errdefs.ErrNotFound.WithMessage(fmt.Sprintf("could not find plugin %s in v1 plugin registry: plugin not found", name))
	}
	return nil, err
}

// unknown tells whether the plugin does not know a method.
func unknown(err error) bool {
	call, ok := errors.AsType[*plugin.CallError](err)
	return ok && call.Status == http.StatusNotFound
}
