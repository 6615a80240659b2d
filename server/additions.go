package server

import "net/http"

// berths is the state of an operation that Docker does not have; docs/api.md
// lists them apart.
const berths = "added"

// added says what the operations do that Berth adds to the Engine API.
var added = map[string]string{
	"POST /volumes/{name}/rename":      "Rename a volume, also in use (`name`)",
	"POST /volumes/{name}/copy":        "Make a new volume with the files of this one (body: `Name`, `Labels`)",
	"GET /volumes/{name}/archive":      "The files of a volume as a tar stream",
	"PUT /volumes/{name}/archive":      "Make a new volume with the files of a tar stream",
	"GET /volumes/{name}/snapshots":    "List the snapshots of a volume",
	"POST /volumes/{name}/snapshots":   "Keep the files of a volume as they are (`snapshot`: its name)",
	"DELETE /volumes/{name}/snapshots": "Delete a snapshot (`snapshot`)",
	"GET /containers/{id}/turn":        "Whether a container gets what comes to its published ports, and who shares them",
	"POST /containers/{id}/drain":      "Take a container out of its published ports (`wait`: seconds to wait for the end of its connections)",
	"POST /containers/{id}/undrain":    "Let a container in to its published ports again",
	"GET /system/firewall":             "The firewall's table, as `nft` would print it",
	"POST /migrate/docker":             "Take over images, volumes and containers from the data-root of a Docker engine that does not run (`path`), whose containerd may be elsewhere (`containerd`)",
	"GET /system/space":                "Where the bytes of the engine are on disk",
	"GET /removal/build-cache":         "What `POST /build/prune` of the same parameters would remove",
	"GET /removal/containers":          "What `POST /containers/prune` would remove (`filters`)",
	"GET /removal/containers/{id}":     "What the removal of a container would take away (`force`, `v`)",
	"POST /images/collect":             "Remove images as `image-gc` says, now",
	"GET /removal/unused-images":       "What `POST /images/collect` would remove",
	"POST /images/{name}/pin":          "Keep what a name stands for from `image-gc` and prunes",
	"POST /images/{name}/unpin":        "End that",
	"GET /removal/images":              "What `POST /images/prune` would remove (`filters`)",
	"GET /removal/images/{name}":       "What the removal of an image would take away (`force`, `platforms`)",
	"GET /removal/networks":            "What `POST /networks/prune` would remove (`filters`)",
	"GET /removal/networks/{id}":       "What the removal of a network would take away",
	"GET /removal/volumes":             "What `POST /volumes/prune` would remove (`filters`)",
	"GET /removal/volumes/{name}":      "What the removal of a volume would take away",
	"GET /debug/trace":                 "Where the time of the last requests went, and of the ends of containers (a daemon with `BERTH_TRACE=1`)",
	"POST /volumes/{name}/restore":     "Put the files of a snapshot in place of a volume's (`snapshot`)",
}

// parameters says what Berth adds to the query of Docker's operations.
var parameters = map[string]string{
	"GET /containers/json":         "`brief`: each container with the members of `ContainerBrief` alone, for tables of thousands",
	"POST /containers/{id}/update": "`dry-run`: answer what the update would change, and change nothing",
	"GET /containers/{id}/logs":    "`grep`: a regular expression that lines must match",
}

func (s *Server) additions() []operation {
	op := func(method, path string, h handler) operation { return operation{method, path, h, berths} }
	return []operation{
		op(http.MethodPost, "/volumes/{name}/rename", s.volumeRename),
		op(http.MethodPost, "/volumes/{name}/copy", s.volumeCopy),
		op(http.MethodGet, "/volumes/{name}/archive", s.volumeExport),
		op(http.MethodPut, "/volumes/{name}/archive", s.volumeImport),
		op(http.MethodGet, "/volumes/{name}/snapshots", s.volumeSnapshots),
		op(http.MethodPost, "/volumes/{name}/snapshots", s.volumeSnapshot),
		op(http.MethodDelete, "/volumes/{name}/snapshots", s.volumeSnapshotRemove),
		op(http.MethodPost, "/volumes/{name}/restore", s.volumeRestore),
		op(http.MethodGet, "/containers/{id}/turn", s.containerTurn),
		op(http.MethodPost, "/containers/{id}/drain", s.containerDrain),
		op(http.MethodPost, "/containers/{id}/undrain", s.containerUndrain),
		op(http.MethodGet, "/system/space", s.space),
		op(http.MethodGet, "/debug/trace", s.debugTrace),
		op(http.MethodPost, "/migrate/docker", s.migrateDocker),
		op(http.MethodGet, "/system/firewall", s.firewall),
		op(http.MethodGet, "/removal/build-cache", s.removalBuildCache),
		op(http.MethodGet, "/removal/containers", s.removalContainers),
		op(http.MethodGet, "/removal/containers/{id}", s.removalContainer),
		op(http.MethodPost, "/images/collect", s.imageCollect),
		op(http.MethodGet, "/removal/unused-images", s.removalUnused),
		op(http.MethodPost, "/images/{name}/pin", s.imagePin),
		op(http.MethodPost, "/images/{name}/unpin", s.imageUnpin),
		op(http.MethodGet, "/removal/images", s.removalImages),
		op(http.MethodGet, "/removal/images/{name}", s.removalImage),
		op(http.MethodGet, "/removal/networks", s.removalNetworks),
		op(http.MethodGet, "/removal/networks/{id}", s.removalNetwork),
		op(http.MethodGet, "/removal/volumes", s.removalVolumes),
		op(http.MethodGet, "/removal/volumes/{name}", s.removalVolume),
	}
}
