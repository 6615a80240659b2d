package container

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"
)

// longRow is how many ports that follow one another are one member of a record,
// "10000-20000/udp", with what the first has. There may be tens of thousands.
const longRow = 32

// encodeMember is what json.Marshal makes of a member, but for rows of ports.
func encodeMember(v any) ([]byte, error) {
	switch v := v.(type) {
	case nettypes.PortMap:
		return encodePorts(v, countsOn)
	case nettypes.PortSet:
		return encodePorts(v, func(_, _ struct{}, _ int) bool { return true })
	}
	return json.Marshal(v)
}

// countsOn tells whether the nth port after the one with first has what it has in
// a row: the same address, and the nth port of the host, if that is a number.
func countsOn(first, nth []nettypes.PortBinding, n int) bool {
	if len(first) != 1 || len(nth) != 1 || first[0].HostIP != nth[0].HostIP {
		return false
	}
	a, b := first[0].HostPort, nth[0].HostPort
	if a == "" {
		return b == ""
	}
	from, ok := hostNumber(a)
	to, also := hostNumber(b)
	return ok && also && to == from+n
}

// hostNumber reads a port of the host that is written as it would be again.
func hostNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && s[0] != '0'
}

// nextBinding is what the nth port after the one with first has in a row; false:
// there is no such port of the host.
func nextBinding(first []nettypes.PortBinding, n int) ([]nettypes.PortBinding, bool) {
	if n == 0 {
		return first, true
	}
	if len(first) != 1 {
		return nil, false
	}
	b := first[0]
	if b.HostPort != "" {
		from, ok := hostNumber(b.HostPort)
		if !ok || from+n >= 1<<16 {
			return nil, false
		}
		b.HostPort = strconv.Itoa(from + n)
	}
	return []nettypes.PortBinding{b}, true
}

// encodePorts writes ports, long rows as one; counts tells whether the nth after
// the first of a row may be in it.
func encodePorts[V any](m map[nettypes.Port]V, counts func(first, nth V, n int) bool) ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	ports := inOrder(m)
	rows := map[string]V{}
	for at := 0; at < len(ports); {
		first, n := ports[at], 1
		for at+n < len(ports) && ports[at+n].Proto() == first.Proto() && int(ports[at+n].Num()) == int(first.Num())+n && counts(first.has, ports[at+n].has, n) {
			n++
		}
		if n >= longRow {
			rows[fmt.Sprintf("%d-%d/%s", first.Num(), int(first.Num())+n-1, first.Proto())] = first.has
			at += n
			continue
		}
		for _, p := range ports[at : at+n] {
			rows[string(p.AppendTo(nil))] = p.has
		}
		at += n
	}
	return json.Marshal(rows)
}

// portEntry is a port of a map, with what it has there.
type portEntry[V any] struct {
	nettypes.Port
	has V
}

// inOrder is a map of ports, those of each protocol by number. Numbers alone are
// sorted: by a function, ten thousand ports take milliseconds, at each save.
func inOrder[V any](m map[nettypes.Port]V) []portEntry[V] {
	all := make([]portEntry[V], 0, len(m))
	keys := make([]uint64, 0, len(m)) // protocol, number, index of all
	var protos []nettypes.IPProtocol
	for p, has := range m {
		proto := slices.Index(protos, p.Proto())
		if proto < 0 {
			proto, protos = len(protos), append(protos, p.Proto())
		}
		keys = append(keys, uint64(proto)<<48|uint64(p.Num())<<32|uint64(len(all)))
		all = append(all, portEntry[V]{p, has})
	}
	slices.Sort(keys)
	ports := make([]portEntry[V], len(all))
	for i, k := range keys {
		ports[i] = all[uint32(k)]
	}
	return ports
}

// decodePorts reads what encodePorts, or json.Marshal, wrote.
func decodePorts[V any](data []byte, next func(first V, n int) (V, bool)) (map[nettypes.Port]V, error) {
	var rows map[string]V
	if err := json.Unmarshal(data, &rows); err != nil || rows == nil {
		return nil, err
	}
	m := make(map[nettypes.Port]V, len(rows))
	for key, first := range rows {
		if key == "" {
			m[nettypes.Port{}] = first
			continue
		}
		r, err := nettypes.ParsePortRange(key)
		if err != nil {
			return nil, err
		}
		for n := range int(r.End()) - int(r.Start()) + 1 {
			p, _ := nettypes.PortFrom(r.Start()+uint16(n), r.Proto())
			v, ok := next(first, n)
			if !ok {
				return nil, fmt.Errorf("ports %s have no port of the host each", key)
			}
			m[p] = v
		}
	}
	return m, nil
}

// portSet and portMap are read from a record.
type (
	portSet nettypes.PortSet
	portMap nettypes.PortMap
)

// UnmarshalJSON reads what encodeMember wrote.
func (s *portSet) UnmarshalJSON(data []byte) error {
	ports, err := decodePorts(data, func(struct{}, int) (struct{}, bool) { return struct{}{}, true })
	*s = ports
	return err
}

// UnmarshalJSON reads what encodeMember wrote.
func (m *portMap) UnmarshalJSON(data []byte) error {
	ports, err := decodePorts(data, nextBinding)
	*m = ports
	return err
}

// storedConfig and storedHost are read from a record: their ports are in rows.
type (
	storedConfig struct {
		container.Config
		ExposedPorts portSet
	}
	storedHost struct {
		container.HostConfig
		PortBindings portMap
	}
)

// config is what was read; nil where there was none.
func (c *storedConfig) config() *container.Config {
	if c == nil {
		return nil
	}
	c.Config.ExposedPorts = nettypes.PortSet(c.ExposedPorts)
	return &c.Config
}

// host is what was read; nil where there was none.
func (h *storedHost) host() *container.HostConfig {
	if h == nil {
		return nil
	}
	h.HostConfig.PortBindings = nettypes.PortMap(h.PortBindings)
	return &h.HostConfig
}
