package network

import (
	"encoding/json"
	"iter"
	"slices"

	"github.com/berth-engine/berth/network/nft"
)

// Bindings are published ports. Many in a row are one: a container may have ten
// thousand for as long as it is there.
type Bindings []Row

// Row is ports that follow one another on both sides, beginning with this one.
type Row struct {
	PortBinding
	Count int `json:"count,omitempty"` // 0: one
}

// longRow is from how many ports on a row is one.
const longRow = 32

// Rows are ports in their order.
func Rows(ports []PortBinding) Bindings {
	return fold(ports, PortBinding.next, func(p PortBinding, n int) Row { return Row{p, n} })
}

// All are the ports one by one.
func (b Bindings) All() iter.Seq[PortBinding] {
	return func(yield func(PortBinding) bool) {
		for _, r := range b {
			for n := range max(r.Count, 1) {
				if !yield(r.next(n)) {
					return
				}
			}
		}
	}
}

// udp: among the flows that the kernel keeps, these have no end of their own.
func (r Row) udp() bool { return r.Proto == "udp" }

// list is All at once.
func (b Bindings) list() []PortBinding { return slices.Collect(b.All()) }

// next is the nth port after p; the zero value where there is none.
func (p PortBinding) next(n int) PortBinding {
	if !step(&p.HostPort, &p.ContainerPort, n) {
		return PortBinding{}
	}
	return p
}

// step goes n ports on, on both sides; false: there are not so many.
func step(host, container *uint16, n int) bool {
	if int(max(*host, *container))+n >= 1<<16 {
		return false
	}
	*host, *container = *host+uint16(n), *container+uint16(n)
	return true
}

// UnmarshalJSON reads rows.
func (b *Bindings) UnmarshalJSON(data []byte) error {
	var rows []Row
	if err := json.Unmarshal(data, &rows); err != nil {
		return err
	}
	*b = nil
	for _, r := range rows {
		if r.Count < 0 || int(r.HostPort)+r.Count > 1<<16 || int(r.ContainerPort)+r.Count > 1<<16 {
			return invalid("published port %d, and %d more", r.HostPort, r.Count)
		}
	}
	*b = rows
	return nil
}

// rules are what the firewall leads to a container, many in a row as one.
type rules []ruleRow

type ruleRow struct {
	nft.Port
	count int
}

func nextRule(p nft.Port, n int) nft.Port {
	if !step(&p.HostPort, &p.ContainerPort, n) {
		return nft.Port{}
	}
	return p
}

func rulesOf(ports []nft.Port) rules {
	return fold(ports, nextRule, func(p nft.Port, n int) ruleRow { return ruleRow{p, n} })
}

// list is the rules one by one.
func (r rules) list() []nft.Port {
	var out []nft.Port
	for _, row := range r {
		for n := range max(row.count, 1) {
			out = append(out, nextRule(row.Port, n))
		}
	}
	return out
}

// fold joins what follows one another, if it is a long row: next is what comes
// so many after the first. A row of none is one alone.
func fold[T comparable, R any](list []T, next func(T, int) T, row func(first T, n int) R) []R {
	var out []R
	for at := 0; at < len(list); {
		n := 1
		for at+n < len(list) && list[at+n] == next(list[at], n) {
			n++
		}
		if n >= longRow {
			out = append(out, row(list[at], n))
			at += n
			continue
		}
		for range n {
			out = append(out, row(list[at], 0))
			at++
		}
	}
	return out
}
