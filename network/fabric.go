package network

import (
	"context"

	"github.com/berth-engine/berth/network/netns"
)

// fabric is what joins the interfaces of a network that has no bridge: that in
// which drivers differ.
type fabric interface {
	// join gives a namespace the planned interface, which is down. What the driver
	// itself chooses, such as addresses or the name, it writes into the plan.
	join(ctx context.Context, n *netns.Namespace, p *plan) (netns.Interface, error)
	// leave takes back what join left outside the namespace. n is where the
	// interface is; nil: that is gone.
	leave(ctx context.Context, n *netns.Namespace, e *Endpoint) error
	// remove ends the network.
	remove(ctx context.Context) error
	// close takes away what is there only while an engine runs.
	close() error
}
