package api

import (
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/image"
)

// Removal is the answer to GET /removal/…: what the removal or prune of the
// same parameters would take away now. Nothing is changed by asking.
type Removal struct {
	Containers []RemovedContainer     `json:",omitempty"`
	Images     []image.DeleteResponse `json:",omitempty"`
	Volumes    []string               `json:",omitempty"`
	Networks   []string               `json:",omitempty"`
	BuildCache []build.CacheRecord    `json:",omitempty"`
	// SpaceReclaimed is how many bytes would be free. 0 where it is not known.
	SpaceReclaimed uint64
}

// RemovedContainer is a container in a Removal.
type RemovedContainer struct {
	ID   string
	Name string // without a slash
	// Kill says that it runs and would be killed first.
	Kill bool `json:",omitempty"`
}
