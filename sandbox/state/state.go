package state

import (
	"maps"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// JSON encodes the state of a container.
func JSON(s *specs.State) []byte {
	return appendState(make([]byte, 0, 256), s)
}

// ProcessJSON encodes the state of a container's process, as the seccomp agent
// gets it.
func ProcessJSON(p *specs.ContainerProcessState) []byte {
	b := make([]byte, 0, 512)
	b = field(b, '{', "ociVersion", p.Version)
	b = append(b, `,"fds":`...)
	if p.Fds == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, '[')
		for i, name := range p.Fds {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendString(b, name)
		}
		b = append(b, ']')
	}
	b = append(b, `,"pid":`...)
	b = strconv.AppendInt(b, int64(p.Pid), 10)
	if p.Metadata != "" {
		b = field(b, ',', "metadata", p.Metadata)
	}
	b = append(b, `,"state":`...)
	return append(appendState(b, &p.State), '}')
}

func appendState(b []byte, s *specs.State) []byte {
	b = field(b, '{', "ociVersion", s.Version)
	b = field(b, ',', "id", s.ID)
	b = field(b, ',', "status", string(s.Status))
	if s.Pid != 0 {
		b = append(b, `,"pid":`...)
		b = strconv.AppendInt(b, int64(s.Pid), 10)
	}
	b = field(b, ',', "bundle", s.Bundle)
	if len(s.Annotations) > 0 {
		b = append(b, `,"annotations":`...)
		before := byte('{')
		for _, name := range slices.Sorted(maps.Keys(s.Annotations)) {
			b = field(b, before, name, s.Annotations[name])
			before = ','
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func field(b []byte, before byte, name, value string) []byte {
	b = AppendString(append(b, before), name)
	return AppendString(append(b, ':'), value)
}
