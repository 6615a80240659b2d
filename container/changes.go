package container

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/api"
)

// changes lists what next has different from the record, in a stable order, and
// what each needs. liveMounts: those of what runs can be changed.
func changes(r *Record, next settings, liveMounts bool) []api.ContainerChange {
	var out []api.ContainerChange
	runs := r.State.live()
	add := func(field, before, after, effect string) {
		if !runs && effect != api.EffectLive {
			effect = api.EffectStart
		}
		if before != after {
			out = append(out, api.ContainerChange{Field: field, Old: before, New: after, Effect: effect})
		}
	}
	pairs := func(field, effect string, before, after []string) {
		for _, b := range before {
			if !slices.Contains(after, b) {
				add(field, b, "", effect)
			}
		}
		for _, a := range after {
			if !slices.Contains(before, a) {
				add(field, "", a, effect)
			}
		}
	}
	pairs("env", api.EffectRecreate, r.Config.Env, next.Config.Env)
	pairs("label", api.EffectLive, labelPairs(r.Config.Labels), labelPairs(next.Config.Labels))
	add("health check", shownJSON(r.Config.Healthcheck), shownJSON(next.Config.Healthcheck), api.EffectLive)
	add("restart policy", shownPolicy(r.HostConfig.RestartPolicy), shownPolicy(next.HostConfig.RestartPolicy), api.EffectLive)
	add("log driver", r.HostConfig.LogConfig.Type, next.HostConfig.LogConfig.Type, api.EffectRecreate)
	before, after := labelPairs(r.HostConfig.LogConfig.Config), labelPairs(next.HostConfig.LogConfig.Config)
	for _, name := range []string{"max-size", "max-file", "compress", "cache-max-size", "cache-max-file", "cache-compress"} {
		is := func(pair string) bool { return strings.HasPrefix(pair, name+"=") }
		effect := api.EffectLive
		if r.HostConfig.LogConfig.Type != logLocal && !strings.HasPrefix(name, "cache-") {
			effect = api.EffectRecreate // the driver's own file
		}
		pairs("log option", effect, keep(before, is), keep(after, is))
		before, after = slices.DeleteFunc(before, is), slices.DeleteFunc(after, is)
	}
	pairs("log option", api.EffectRecreate, before, after)
	pairs("port", api.EffectLive, shownPorts(r.HostConfig.PortBindings), shownPorts(next.HostConfig.PortBindings))
	gone, added := differ(r.Mounts, next.Mounts)
	for _, m := range gone {
		add("mount", m.shown(), "", mountEffect(&m, liveMounts))
	}
	for _, m := range added {
		add("mount", "", m.shown(), mountEffect(&m, liveMounts))
	}
	return append(out, resourceChanges(&r.HostConfig.Resources, &next.HostConfig.Resources)...)
}

// mountEffect: what only a start can mount needs a new run.
func mountEffect(m *Mount, live bool) string {
	switch m.Type {
	case mounttypes.TypeBind, mounttypes.TypeVolume, mounttypes.TypeTmpfs:
		if live && m.Subpath == "" {
			return api.EffectLive
		}
	default: // what the run has to make
	}
	return api.EffectRecreate
}

// resourceChanges compares limits by the names of the API.
func resourceChanges(before, after *container.Resources) []api.ContainerChange {
	var out []api.ContainerChange
	b, a := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	for i := range b.NumField() {
		x, y := b.Field(i).Interface(), a.Field(i).Interface()
		if !reflect.DeepEqual(x, y) {
			name, _, _ := strings.Cut(b.Type().Field(i).Tag.Get("json"), ",")
			out = append(out, api.ContainerChange{
				Field: cmp.Or(name, b.Type().Field(i).Name), Old: shownJSON(x), New: shownJSON(y), Effect: api.EffectLive,
			})
		}
	}
	return out
}

// differ tells which mounts go and which come.
func differ(before, after []Mount) (gone, added []Mount) {
	in := func(list []Mount, m *Mount) bool {
		return slices.ContainsFunc(list, func(o Mount) bool { return o.key() == m.key() })
	}
	for i := range before {
		if !in(after, &before[i]) {
			gone = append(gone, before[i])
		}
	}
	for i := range after {
		if !in(before, &after[i]) {
			added = append(added, after[i])
		}
	}
	return gone, added
}

// shown is a mount as people write it.
func (m *Mount) shown() string {
	source := m.Source
	switch m.Type {
	case mounttypes.TypeTmpfs:
		source = "tmpfs"
	case mounttypes.TypeVolume:
		source = cmp.Or(m.Name, "(new volume)")
	default: // others have a source
	}
	text := source + ":" + m.Destination
	if m.ReadOnly {
		text += ":ro"
	}
	return text
}

func shownPolicy(p container.RestartPolicy) string {
	if p.IsOnFailure() && p.MaximumRetryCount > 0 {
		return string(p.Name) + ":" + shownJSON(p.MaximumRetryCount)
	}
	return string(p.Name)
}

func shownPorts(ports nettypes.PortMap) []string {
	var out []string
	for port, list := range ports {
		for _, b := range list {
			host := b.HostPort
			if b.HostIP.IsValid() {
				host = b.HostIP.String() + ":" + host
			}
			out = append(out, host+"->"+port.String())
		}
	}
	slices.Sort(out)
	return out
}

func labelPairs(m map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return out
}

func keep(list []string, is func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !is(s) })
}

func shownJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil || string(b) == "null" {
		return ""
	}
	return string(b)
}
