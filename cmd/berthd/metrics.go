package main

import (
	"context"
	"fmt"
	"net"
)

// listenMetrics listens where metrics are served; nil: nowhere.
func (d *daemon) listenMetrics(ctx context.Context, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics-addr: %w", err)
	}
	d.log.Info("metrics at http://" + l.Addr().String() + "/metrics")
	return l, nil
}
