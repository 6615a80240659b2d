package network

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
)

// TestBindings: what is read is what was written, and many ports take little room.
func TestBindings(t *testing.T) {
	host := netip.IPv4Unspecified()
	rows := func(proto string, from, to, n int) (out []PortBinding) {
		for i := range n {
			out = append(out, PortBinding{ContainerPort: uint16(to + i), Proto: proto, HostIP: host, HostPort: uint16(from + i)})
		}
		return out
	}
	for name, b := range map[string][]PortBinding{
		"one":     rows("tcp", 80, 8080, 1),
		"few":     rows("tcp", 80, 8080, longRow-1),
		"many":    slices.Concat(rows("udp", 10000, 10000, 10001), rows("tcp", 1, 2, 3), rows("tcp", 100, 200, longRow)),
		"the end": rows("tcp", 1<<16-40, 1<<16-40, 40),
		"round":   slices.Concat(rows("tcp", 1<<16-40, 100, 40), rows("tcp", 0, 140, 40)),
		"routed":  slices.Repeat([]PortBinding{{ContainerPort: 80, Proto: "tcp", Routed: true}}, 40),
	} {
		data, err := json.Marshal(Rows(b))
		if err != nil {
			t.Fatal(err)
		}
		var again Bindings
		if err := json.Unmarshal(data, &again); err != nil || !slices.Equal(again.list(), b) {
			t.Errorf("%s: %v from %s", name, err, data)
		}
		if name == "many" && len(data)+len(again) > 1000 {
			t.Errorf("%d bytes for %d ports", len(data), len(b))
		}
	}
	var b Bindings
	for _, bad := range []string{`[{"host_port": 60000, "count": 60000}]`, `[{"count": -1}]`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &b); err == nil {
			t.Errorf("%s is read as %d ports", bad, len(b))
		}
	}
}
