package main

import (
	"context"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// guardCost measures iperf3 between two containers of a network whose table
// keeps them from taking each other's addresses, and of one without.
func guardCost(ctx context.Context, o options, own *own, r *report) error {
	ways := []struct {
		name     string
		options  map[string]string
		from, to *place
	}{{name: "guarded"}, {name: "bare", options: map[string]string{"berth.bridge.guard": "false"}}}
	for i := range ways {
		w := &ways[i]
		if _, err := own.client.NetworkCreate(ctx, w.name, client.NetworkCreateOptions{Options: w.options}); err != nil {
			return err
		}
		host := &container.HostConfig{NetworkMode: container.NetworkMode(w.name)}
		var err error
		if w.to, err = own.placeOf(ctx, w.name+"-server", host, nil); err != nil {
			return err
		}
		defer w.to.close()
		if w.from, err = own.placeOf(ctx, w.name+"-client", host, nil); err != nil {
			return err
		}
		defer w.from.close()
		stop, err := iperfServer(ctx, w.to, iperfPort)
		if err != nil {
			return err
		}
		defer stop()
	}
	for range o.n {
		for i := range ways {
			w := &ways[len(ways)-1-i] // the one without is what the other is compared with
			err := flow(r, "iperf3, container to container, by the table against spoofing", "(its cost)", "Gbit", w.name, func() (float64, error) {
				return iperf(ctx, w.from, w.to.address, iperfPort, o.limits.seconds)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
