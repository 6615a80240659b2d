package network

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
)

// BenchmarkAttach measures Attach and Detach with a published port, with and
// without prepared namespaces.
func BenchmarkAttach(b *testing.B) {
	for name, pool := range map[string]int{"cold": -1, "pool": 0} {
		for _, ports := range []int{0, 1} {
			b.Run(fmt.Sprintf("%s/ports=%d", name, ports), func(b *testing.B) {
				dir := b.TempDir()
				m, err := New(b.Context(), Options{ExecRoot: dir, DataRoot: dir, Pool: pool, Log: slog.New(slog.DiscardHandler), Netd: NetdOptions{Binary: netdBinary, CgroupParent: "/berth-network-bench"}})
				if err != nil {
					b.Fatal(err)
				}
				if err := m.Prune(b.Context(), nil); err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan error, 1)
				go func() { done <- m.Run(ctx) }()
				d := Desired{ID: "x"}
				for range ports {
					d.Ports = append(d.Ports, tcp("", 0, 80))
				}
				for b.Loop() {
					f, _, err := m.Attach(ctx, d)
					if err != nil {
						b.Fatal(err)
					}
					f.Close()
					if err := m.Detach(ctx, "x"); err != nil {
						b.Fatal(err)
					}
				}
				cancel()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
