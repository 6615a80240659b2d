package container

import (
	"cmp"
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
		return encodePorts(v, func(first, p nettypes.Port, n int) bool {
			a, b := v[first], v[p]
			if len(a) != 1 || len(b) != 1 {
				return false
			}
			next, ok := nextBinding(a[0], n)
			return ok && next == b[0]
		})
	case nettypes.PortSet:
		return encodePorts(v, func(nettypes.Port, nettypes.Port, int) bool { return true })
	}
	return json.Marshal(v)
}

// nextBinding is what the nth port after the one with this has in a row: the same
// address, and the nth port of the host, if that is a number; false: there is none.
func nextBinding(first nettypes.PortBinding, n int) (nettypes.PortBinding, bool) {
	if first.HostPort == "" || n == 0 {
		return first, true
	}
	host, err := strconv.ParseUint(first.HostPort, 10, 16)
	first.HostPort = strconv.Itoa(int(host) + n)
	return first, err == nil && int(host)+n < 1<<16
}

// encodePorts writes ports, long rows as one; counts tells whether what p has is
// what the nth after the first one has in a row.
func encodePorts[V any](m map[nettypes.Port]V, counts func(first, p nettypes.Port, n int) bool) ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	ports := make([]nettypes.Port, 0, len(m))
	for p := range m {
		ports = append(ports, p)
	}
	slices.SortFunc(ports, func(a, b nettypes.Port) int {
		return cmp.Or(cmp.Compare(a.Proto(), b.Proto()), cmp.Compare(a.Num(), b.Num()))
	})
	rows := map[string]V{}
	for at := 0; at < len(ports); {
		first, n := ports[at], 1
		for at+n < len(ports) && ports[at+n].Proto() == first.Proto() && int(ports[at+n].Num()) == int(first.Num())+n && counts(first, ports[at+n], n) {
			n++
		}
		if n >= longRow {
			rows[fmt.Sprintf("%d-%d/%s", first.Num(), int(first.Num())+n-1, first.Proto())] = m[first]
			at += n
			continue
		}
		for _, p := range ports[at : at+n] {
			rows[string(p.AppendTo(nil))] = m[p]
		}
		at += n
	}
	return json.Marshal(rows)
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
	ports, err := decodePorts(data, func(first []nettypes.PortBinding, n int) ([]nettypes.PortBinding, bool) {
		if n == 0 {
			return first, true
		}
		if len(first) != 1 {
			return nil, false
		}
		b, ok := nextBinding(first[0], n)
		return []nettypes.PortBinding{b}, ok
	})
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
