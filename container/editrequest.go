package container

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/container/health"
	"github.com/berth-engine/berth/container/logs/driver"
)

// edited are the settings of a container with what q changes, checked. Nothing
// of the record is changed.
func edited(r *Record, q *api.ContainerUpdateRequest) (settings, error) {
	next := r.settings()
	host, err := updated(r.HostConfig, &q.UpdateConfig)
	if err != nil {
		return next, err
	}
	config := *r.Config
	next.Config, next.HostConfig = &config, host
	edit := q.Edit
	if edit == nil {
		return next, nil
	}
	if config.Env, err = editEnv(r.Config.Env, edit.Env); err != nil {
		return next, err
	}
	if err := editLabels(&next, edit.Labels); err != nil {
		return next, err
	}
	if edit.Healthcheck != nil {
		if err := health.Validate(edit.Healthcheck); err != nil {
			return next, err
		}
		config.Healthcheck = health.Merge(edit.Healthcheck, r.Config.Healthcheck)
	}
	if err := editLog(host, edit); err != nil {
		return next, err
	}
	if err := editPorts(&config, host, edit); err != nil {
		return next, err
	}
	return next, editMounts(&next, edit)
}

// editEnv keeps the order: a variable that is changed stays where it is.
func editEnv(old []string, edit map[string]*string) ([]string, error) {
	out := slices.Clone(old)
	for _, name := range slices.Sorted(maps.Keys(edit)) {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return nil, invalid("invalid environment variable: %q", name)
		}
		value := edit[name]
		if value != nil && strings.ContainsRune(*value, 0) {
			return nil, invalid("invalid environment variable: %q: NUL byte", name)
		}
		is := func(e string) bool { return e == name || strings.HasPrefix(e, name+"=") }
		at := slices.IndexFunc(out, is)
		switch {
		case value == nil:
			out = slices.DeleteFunc(out, is)
		case at >= 0:
			out[at] = name + "=" + *value
		default:
			out = append(out, name+"="+*value)
		}
	}
	total := 0
	for _, e := range out {
		total += len(e)
	}
	if total > maxStrings {
		return nil, invalid("invalid config: the environment is larger than %d bytes", maxStrings)
	}
	return out, nil
}

// editLabels changes the labels. They are the user's now, whoever they were
// from.
func editLabels(next *settings, edit map[string]*string) error {
	if len(edit) == 0 {
		return nil
	}
	all, own := maps.Clone(next.Config.Labels), maps.Clone(next.RequestLabels)
	if all == nil {
		all = map[string]string{}
	}
	if own == nil {
		own = map[string]string{}
	}
	for name, value := range edit {
		switch {
		case name == "":
			return invalid("invalid label: its name is empty")
		case value == nil:
			delete(all, name)
			delete(own, name)
		default:
			all[name], own[name] = *value, *value
		}
	}
	next.Config.Labels, next.RequestLabels = all, own
	return nil
}

func editLog(h *container.HostConfig, edit *api.ContainerEdit) error {
	if edit.LogDriver == "" && len(edit.LogOptions) == 0 {
		return nil
	}
	options := maps.Clone(h.LogConfig.Config)
	if edit.LogDriver != "" && edit.LogDriver != h.LogConfig.Type {
		h.LogConfig.Type, options = edit.LogDriver, nil
	}
	if options == nil {
		options = map[string]string{}
	}
	for name, value := range edit.LogOptions {
		if value == nil {
			delete(options, name)
		} else {
			options[name] = *value
		}
	}
	h.LogConfig.Config = options
	if err := driver.Check(h.LogConfig.Type, options); err != nil {
		return err
	}
	_, _, err := logLimits(&h.LogConfig)
	return err
}

func editPorts(c *container.Config, h *container.HostConfig, edit *api.ContainerEdit) error {
	if len(edit.Publish)+len(edit.Unpublish) == 0 {
		return nil
	}
	if m := h.NetworkMode; m.IsHost() || m.IsContainer() || m.IsNone() || c.NetworkDisabled {
		return conflict("ports cannot be published with network mode %s", m)
	}
	bindings := nettypes.PortMap{}
	for port, list := range h.PortBindings {
		bindings[port] = slices.Clone(list)
	}
	for _, port := range edit.Unpublish {
		if _, exposed := c.ExposedPorts[port]; h.PublishAllPorts && exposed {
			return conflict("port %s stays published: all ports that the container exposes are (-P)", port)
		}
		if len(bindings[port]) == 0 {
			return notFound("port %s is not published", port)
		}
		delete(bindings, port)
	}
	exposed := maps.Clone(c.ExposedPorts)
	if exposed == nil {
		exposed = nettypes.PortSet{}
	}
	for port, list := range edit.Publish {
		if len(list) == 0 {
			list = []nettypes.PortBinding{{}}
		}
		for _, b := range list {
			if !slices.Contains(bindings[port], b) {
				bindings[port] = append(bindings[port], b)
			}
		}
		exposed[port] = struct{}{}
	}
	h.PortBindings, c.ExposedPorts = bindings, exposed
	_, err := portSpecs(c, h)
	return err
}
