package format

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// Ports writes a container's ports as ps does, runs of ports with the same
// number on both sides joined: "0.0.0.0:80-81->80-81/tcp, 9988/tcp".
func Ports(ports []container.PortSummary) string {
	type run struct{ first, last uint16 }
	ports = slices.Clone(ports)
	slices.SortFunc(ports, func(a, b container.PortSummary) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), a.IP.Compare(b.IP),
			cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.Type, b.Type))
	})
	var out, mapped, keys []string
	runs := map[string]*run{}
	for _, p := range ports {
		key := "/" + p.Type
		if p.IP.IsValid() {
			if p.PublicPort != p.PrivatePort {
				host := net.JoinHostPort(p.IP.String(), strconv.Itoa(int(p.PublicPort)))
				mapped = append(mapped, fmt.Sprintf("%s->%d/%s", host, p.PrivatePort, p.Type))
				continue
			}
			key = p.IP.String() + key
		}
		switch r := runs[key]; {
		case r == nil:
			runs[key] = &run{p.PrivatePort, p.PrivatePort}
			keys = append(keys, key)
		case p.PrivatePort == r.last+1:
			r.last = p.PrivatePort
		default:
			out = append(out, portRun(key, r.first, r.last))
			runs[key] = &run{p.PrivatePort, p.PrivatePort}
		}
	}
	for _, key := range keys {
		out = append(out, portRun(key, runs[key].first, runs[key].last))
	}
	return strings.Join(append(out, mapped...), ", ")
}

func portRun(key string, first, last uint16) string {
	ip, proto, _ := strings.Cut(key, "/")
	s := strconv.Itoa(int(first))
	if first != last {
		s += "-" + strconv.Itoa(int(last))
	}
	if ip != "" {
		s = net.JoinHostPort(ip, s) + "->" + s
	}
	return s + "/" + proto
}
