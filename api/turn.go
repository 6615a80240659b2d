package api

import "github.com/moby/moby/api/types/events"

// ContainerTurn is the answer to GET /containers/{id}/turn, and to POST
// /containers/{id}/drain and undrain.
type ContainerTurn struct {
	// Turn is "ready": the container gets its share of what comes to its
	// published ports; "waiting": it gets that only while none of those that share
	// them is ready, and while it starts, only if it came first; "drained": it gets
	// nothing new.
	Turn string
	// Connections is how many TCP connections lead to it through published ports.
	Connections int
	// SharedWith are the ids of the other containers of its service that have
	// some of its ports.
	SharedWith []string
}

// Events of containers that are taken out of their published ports, and let in
// again.
const (
	ActionDrain   events.Action = "drain"
	ActionUndrain events.Action = "undrain"
)
