package push

import (
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/image/progress"
)

// tracker turns what the pusher notes of each blob into progress of layers.
type tracker struct {
	docker.StatusTracker
	out *progress.Stream

	mu     sync.Mutex
	layers map[string]*layer
	some   bool // was noted of a blob, in any attempt
}

// begin forgets what was noted in an attempt before.
func (t *tracker) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.StatusTracker, t.layers = docker.NewInMemoryTracker(), map[string]*layer{}
}

// reached tells whether a registry has answered about a blob.
func (t *tracker) reached() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.some
}

// layer is the state of one layer that was told last.
type layer struct {
	digest digest.Digest
	count  *progress.Counter
	done   bool
}

// SetStatus keeps the status under the pusher's own key, which names kind and
// digest ("layer-sha256:…"), and reports it.
func (t *tracker) SetStatus(ref string, s docker.Status) {
	t.StatusTracker.SetStatus(ref, s)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.some = true
	kind, d, _ := strings.Cut(ref, "-")
	if kind != "layer" {
		return
	}
	l := t.layers[ref]
	if l == nil {
		l = &layer{digest: digest.Digest(d), count: t.out.Counter(digest.Digest(d), "Pushing", s.Total)}
		t.layers[ref] = l
	}
	hidden := jsonstream.Progress{HideCounts: true}
	switch {
	case l.done:
	case s.Exists:
		l.done = true
		t.out.Layer(l.digest, "Layer already exists", hidden)
	case s.MountedFrom != "":
		l.done = true
		t.out.Layer(l.digest, "Mounted from "+path(s.MountedFrom), hidden)
	case s.Committed:
		l.done = true
		t.out.Layer(l.digest, "Pushed", hidden)
	case s.Offset > 0:
		l.count.At(s.Offset)
	}
}

// path is a repository's name without its registry, which is the one that is pushed
// to: Docker leaves it out.
func path(name string) string {
	if ref, err := reference.ParseNormalizedNamed(name); err == nil {
		return reference.Path(ref)
	}
	return name
}
