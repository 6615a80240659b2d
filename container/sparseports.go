package container

import (
	"encoding/json"
	"slices"
	"strconv"

	nettypes "github.com/moby/moby/api/types/network"
)

// encodeMember is what json.Marshal makes of a member. Ports may be tens of
// thousands, for each of which that takes microseconds.
func encodeMember(v any) ([]byte, error) {
	switch v := v.(type) {
	case nettypes.PortMap:
		return encodeMap(v, func(b []byte, list []nettypes.PortBinding) ([]byte, error) {
			if len(list) == 1 && plain(list[0].HostPort) && list[0].HostIP.Zone() == "" {
				b = list[0].HostIP.AppendTo(append(b, `[{"HostIp":"`...))
				return append(append(append(b, `","HostPort":"`...), list[0].HostPort...), `"}]`...), nil
			}
			more, err := json.Marshal(list)
			return append(b, more...), err
		})
	case nettypes.PortSet:
		return encodeMap(v, func(b []byte, _ struct{}) ([]byte, error) { return append(b, `{}`...), nil })
	}
	return json.Marshal(v)
}

// plain tells whether a text needs no quoting: it has digits and dashes alone.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] != '-' && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}

// encodeMap writes a map in the order of its keys as texts.
func encodeMap[V any](m map[nettypes.Port]V, value func([]byte, V) ([]byte, error)) ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	type entry struct {
		key  string
		port nettypes.Port
	}
	entries := make([]entry, 0, len(m))
	var text []byte
	for p := range m {
		text = text[:0]
		if p.IsValid() {
			text = append(append(strconv.AppendUint(text, uint64(p.Num()), 10), '/'), p.Proto()...)
		}
		entries = append(entries, entry{string(text), p})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.key < b.key {
			return -1
		}
		return 1
	})
	b := make([]byte, 0, 48*len(m)+2)
	b = append(b, '{')
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), e.key...), `":`...) // a number, and a protocol: nothing to quote
		var err error
		if b, err = value(b, m[e.port]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}
