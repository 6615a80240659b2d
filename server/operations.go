package server

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/containerd/errdefs"
)

// What an operation's state may be, as docs/api.md shows it.
const (
	done   = "done"
	notYet = "not yet"
	alone  = "not yet (answers as a node outside a swarm)"
)

// operations is every operation of the API.
func (s *Server) operations() []operation {
	return slices.Concat(s.served(), s.additions(), unserved())
}

// served are those of Docker's that are done.
func (s *Server) served() []operation {
	get, head, post, put, del := http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete
	served := func(method, path string, h handler) operation { return operation{method, path, h, done} }
	return []operation{
		served(get, "/_ping", s.ping),
		served(head, "/_ping", s.ping),
		served(get, "/version", s.version),
		served(get, "/info", s.info),
		served(post, "/auth", s.auth),
		served(get, "/events", s.events),
		served(post, "/commit", s.commit),
		served(get, "/system/df", s.diskUsage),

		served(post, "/build", s.buildImage),
		served(post, "/build/prune", s.buildPrune),
		served(post, "/build/cancel", s.buildCancel),
		served(post, "/session", s.session),
		served(post, "/grpc", s.grpc),

		served(post, "/images/create", s.imagePull),
		served(get, "/images/json", s.imageList),
		served(get, "/images/{name}/json", s.imageInspect),
		served(get, "/images/{name}/history", s.imageHistory),
		served(post, "/images/{name}/tag", s.imageTag),
		served(post, "/images/{name}/push", s.imagePush),
		served(post, "/images/load", s.imageLoad),
		served(get, "/images/get", s.imageSave),
		served(get, "/images/{name}/get", s.imageSave),
		served(get, "/images/search", s.imageSearch),
		served(get, "/images/{name}/attestations", s.imageAttestations),
		served(get, "/distribution/{name}/json", s.distributionInspect),
		served(del, "/images/{name}", s.imageRemove),
		served(post, "/images/prune", s.imagePrune),

		served(post, "/containers/create", s.containerCreate),
		served(get, "/containers/json", s.containerList),
		served(post, "/containers/prune", s.containerPrune),
		served(get, "/containers/{id}/json", s.containerInspect),
		served(get, "/containers/{id}/top", s.containerTop),
		served(get, "/containers/{id}/logs", s.containerLogs),
		served(get, "/containers/{id}/attach/ws", s.containerAttachWS),
		served(post, "/containers/{id}/attach", s.containerAttach),
		served(post, "/containers/{id}/wait", s.containerWait),
		served(post, "/containers/{id}/start", s.containerStart),
		served(post, "/containers/{id}/stop", s.containerStop),
		served(post, "/containers/{id}/restart", s.containerRestart),
		served(post, "/containers/{id}/kill", s.containerKill),
		served(post, "/containers/{id}/rename", s.containerRename),
		served(post, "/containers/{id}/resize", s.containerResize),
		served(del, "/containers/{id}", s.containerRemove),
		served(post, "/containers/{id}/pause", s.containerPause),
		served(post, "/containers/{id}/unpause", s.containerUnpause),
		served(post, "/containers/{id}/update", s.containerUpdate),
		served(get, "/containers/{id}/stats", s.containerStats),
		served(head, "/containers/{id}/archive", s.containerArchiveHead),
		served(get, "/containers/{id}/archive", s.containerArchiveGet),
		served(put, "/containers/{id}/archive", s.containerArchivePut),
		served(get, "/containers/{id}/export", s.containerExport),
		served(get, "/containers/{id}/changes", s.containerChanges),

		served(post, "/containers/{id}/exec", s.execCreate),
		served(post, "/exec/{id}/start", s.execStart),
		served(post, "/exec/{id}/resize", s.execResize),
		served(get, "/exec/{id}/json", s.execInspect),

		served(get, "/plugins", s.pluginList),
		served(get, "/networks", s.networkList),
		served(get, "/networks/{id}", s.networkInspect),
		served(post, "/networks/create", s.networkCreate),
		served(post, "/networks/prune", s.networkPrune),
		served(post, "/networks/{id}/connect", s.networkConnect),
		served(post, "/networks/{id}/disconnect", s.networkDisconnect),
		served(del, "/networks/{id}", s.networkRemove),

		served(get, "/volumes", s.volumeList),
		served(post, "/volumes/create", s.volumeCreate),
		served(post, "/volumes/prune", s.volumePrune),
		served(get, "/volumes/{name}", s.volumeInspect),
		served(del, "/volumes/{name}", s.volumeRemove),
	}
}

// unserved are the others, which say so.
func unserved() (ops []operation) {
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	missing := map[string][]string{
		get: {
			"/plugins/privileges", "/plugins/{name}/json", "/containers/{id}/checkpoints",
		},
		post: {
			"/plugins/pull", "/plugins/create", "/plugins/{name}/enable", "/plugins/{name}/disable", "/plugins/{name}/upgrade",
			"/plugins/{name}/push", "/plugins/{name}/set", "/swarm/init", "/swarm/join",
			"/containers/{id}/checkpoints",
		},
		del: {"/plugins/{name}", "/containers/{id}/checkpoints/{checkpoint}"},
	}
	outside := map[string][]string{
		get: {
			"/swarm", "/swarm/unlockkey", "/nodes", "/nodes/{id}", "/services", "/services/{id}", "/services/{id}/logs",
			"/tasks", "/tasks/{id}", "/tasks/{id}/logs", "/secrets", "/secrets/{id}", "/configs", "/configs/{id}",
		},
		post: {
			"/swarm/leave", "/swarm/update", "/swarm/unlock", "/nodes/{id}/update", "/services/create", "/services/{id}/update",
			"/secrets/create", "/secrets/{id}/update", "/configs/create", "/configs/{id}/update",
		},
		put: {"/volumes/{name}"},
		del: {"/nodes/{id}", "/services/{id}", "/secrets/{id}", "/configs/{id}"},
	}
	for method, paths := range missing {
		for _, p := range paths {
			ops = append(ops, operation{method, p, notImplemented(method, p), notYet})
		}
	}
	for method, paths := range outside {
		for _, p := range paths {
			ops = append(ops, operation{method, p, outsideSwarm(p), alone})
		}
	}
	return ops
}

func notImplemented(method, path string) handler {
	err := errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("%s %s is not supported by this version of Berth yet", method, path))
	return func(http.ResponseWriter, *request) error { return err }
}

// outsideSwarm answers as Docker's daemon does when it is not part of a swarm.
func outsideSwarm(path string) handler {
	text := `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`
	switch path {
	case "/swarm/leave":
		text = "This node is not part of a swarm"
	case "/volumes/{name}":
		text = "volume update only valid for cluster volumes, but swarm is unavailable"
	}
	err := errdefs.ErrUnavailable.WithMessage(text)
	return func(http.ResponseWriter, *request) error { return err }
}
