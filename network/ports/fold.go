package ports

import (
	"cmp"
	"slices"

	"github.com/berth-engine/berth/network/netd"
)

// longRun is how many ports in a row are held as one, without sockets.
const longRun = 257

// fold joins long runs of ports that follow one another on both sides; they
// come last. What is not in one keeps its place.
func fold(ports []netd.Port) []netd.Port {
	if len(ports) < longRun {
		return ports
	}
	order := make([]int, len(ports))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &ports[i], &ports[j]
		return cmp.Or(a.HostIP.Compare(b.HostIP), cmp.Compare(a.Proto, b.Proto), a.ContainerIP.Compare(b.ContainerIP), cmp.Compare(a.HostPort, b.HostPort))
	})
	joined := make([]bool, len(ports))
	var runs []netd.Port
	for at := 0; at < len(order); {
		first, n := ports[order[at]], 1
		for at+n < len(order) && follows(&first, &ports[order[at+n]], n) {
			n++
		}
		if n >= longRun {
			first.Count = uint16(n)
			runs = append(runs, first)
			for _, i := range order[at : at+n] {
				joined[i] = true
			}
		}
		at += n
	}
	var out []netd.Port
	for i, p := range ports {
		if !joined[i] {
			out = append(out, p)
		}
	}
	return append(out, runs...)
}

func follows(first, p *netd.Port, n int) bool {
	return first.HostIP == p.HostIP && first.Proto == p.Proto && first.ContainerIP == p.ContainerIP &&
		!first.InName && !p.InName && first.Proto != "sctp" && first.Loopback == p.Loopback && first.HostPort != 0 && first.HostPortEnd == 0 && p.HostPortEnd == 0 && first.Count == 0 && p.Count == 0 &&
		int(p.HostPort) == int(first.HostPort)+n && int(p.ContainerPort) == int(first.ContainerPort)+n
}

// unfold lists every port of runs.
func unfold(bindings []netd.Binding) []netd.Binding {
	if !slices.ContainsFunc(bindings, func(b netd.Binding) bool { return b.Count > 0 }) {
		return bindings
	}
	var out []netd.Binding
	for _, b := range bindings {
		n := max(b.Count, 1)
		b.Count = 0
		for range n {
			out = append(out, b)
			b.HostPort++
			b.ContainerPort++
		}
	}
	return out
}

// refold joins bindings as fold joined the ports that they come from.
func refold(bindings []netd.Binding) []netd.Binding {
	if len(bindings) < longRun {
		return bindings
	}
	ports := make([]netd.Port, len(bindings))
	for i, b := range bindings {
		ports[i] = asked(b)
	}
	var out []netd.Binding
	for _, p := range fold(ports) {
		out = append(out, netd.Binding{HostIP: p.HostIP, HostPort: p.HostPort, Proto: p.Proto, ContainerIP: p.ContainerIP, ContainerPort: p.ContainerPort, Count: p.Count, InName: p.InName})
	}
	return out
}

// asked is what to ask for to get a binding again.
func asked(b netd.Binding) netd.Port {
	return netd.Port{HostIP: b.HostIP, HostPort: b.HostPort, Proto: b.Proto, ContainerIP: b.ContainerIP, ContainerPort: b.ContainerPort, Count: b.Count, InName: b.InName}
}
