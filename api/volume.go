package api

import "time"

// VolumeSnapshot is one element of GET /volumes/{name}/snapshots, and the
// answer to POST: what a volume held at some time.
type VolumeSnapshot struct {
	Name      string
	CreatedAt time.Time
	// Warning says that the volume was in use by running containers meanwhile,
	// so that the snapshot may have half of what they wrote. Empty: it was not.
	Warning string `json:",omitempty"`
}

// VolumeCopyRequest is the body of POST /volumes/{name}/copy.
type VolumeCopyRequest struct {
	Name   string            // of the new volume; it must not exist
	Labels map[string]string `json:",omitempty"`
}
