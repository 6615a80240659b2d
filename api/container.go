package api

import (
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
)

// ContainerBrief is a container in the answer to GET /containers/json with the
// parameter brief: the members of container.Summary that a table of many shows.
type ContainerBrief struct {
	ID    string `json:"Id"`
	Names []string
	Image string // as in the request, or its ID
	// ImageID is left out where Image is a name.
	ImageID    string `json:",omitempty"`
	Command    string
	Created    int64                   // Unix time
	Ports      []container.PortSummary `json:",omitempty"`
	SizeRw     int64                   `json:",omitempty"` // bytes
	SizeRootFs int64                   `json:",omitempty"` // bytes
	State      container.ContainerState
	Status     string
}

// ContainerUpdateRequest is the body of POST /containers/{id}/update: Docker's
// fields, and in Edit what Berth can change besides. With the query parameter
// dry-run nothing is changed, and the answer says what would be.
type ContainerUpdateRequest struct {
	container.UpdateConfig
	Edit *ContainerEdit `json:",omitempty"`
}

// ContainerEdit says what to change of a container. What is not named stays.
type ContainerEdit struct {
	// Env and Labels set a variable or a label; null takes it away.
	Env    map[string]*string `json:",omitempty"`
	Labels map[string]*string `json:",omitempty"`
	// Healthcheck: fields that are zero stay as they are; the test ["NONE"]
	// ends the checking.
	Healthcheck *container.HealthConfig `json:",omitempty"`
	// LogDriver "" stays; LogOptions are those of the driver, null takes one
	// away. With another driver, those of the old one go.
	LogDriver  string             `json:",omitempty"`
	LogOptions map[string]*string `json:",omitempty"`
	// Unpublish takes back all that leads to these ports of the container;
	// Publish adds, afterwards.
	Unpublish []network.Port  `json:",omitempty"`
	Publish   network.PortMap `json:",omitempty"`
	// Unmount takes off what is mounted at these places; Binds (as in
	// HostConfig) and Mounts add, afterwards.
	Unmount []string      `json:",omitempty"`
	Binds   []string      `json:",omitempty"`
	Mounts  []mount.Mount `json:",omitempty"`
}

// Effects of a change, in the order of how much they disturb.
const (
	EffectLive     = "live"     // holds at once, for what runs, too
	EffectStart    = "start"    // holds from the next start on
	EffectRecreate = "recreate" // the container is run anew
)

// ContainerChange is one difference that an update makes.
type ContainerChange struct {
	Field  string // "env", "label", "port", "mount", …
	Old    string `json:",omitempty"` // empty: it is added
	New    string `json:",omitempty"` // empty: it is taken away
	Effect string // one of Effect…
}

// ContainerUpdateResponse answers POST /containers/{id}/update. A request with
// Docker's fields alone is answered with Warnings alone.
type ContainerUpdateResponse struct {
	Warnings []string
	Changes  []ContainerChange `json:",omitempty"`
	// Recreated: the container was, or with dry-run would be, run anew. It
	// keeps its ID, name, addresses, ports, volumes, files and logs.
	Recreated bool `json:",omitempty"`
}
