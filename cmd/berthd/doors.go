package main

import (
	"context"
	"net"

	"github.com/berth-engine/berth/config"
	"github.com/berth-engine/berth/server"
)

// doors are where clients come in.
type doors struct {
	api     []net.Listener
	metrics net.Listener // nil: there are none
}

// listen opens the doors. Who comes waits until the engine serves.
func (d *daemon) listen(ctx context.Context, cfg *config.Config, inherited []server.Inherited) (o doors, err error) {
	if o.api, err = server.Listen(ctx, cfg, inherited); err != nil {
		return o, err
	}
	if o.metrics, err = d.listenMetrics(ctx, cfg.MetricsAddr); err != nil {
		o.close()
	}
	return o, err
}

func (o *doors) close() {
	for _, l := range o.api {
		_ = l.Close() // closed by the server already, unless starting failed
	}
	if o.metrics != nil {
		_ = o.metrics.Close() // the same
	}
}
