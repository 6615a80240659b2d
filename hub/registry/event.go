package registry

import (
	"context"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/catalog"
)

// Event is something that happened to content.
type Event struct {
	Action    string // push, pull, delete, mount
	Repo      catalog.Repository
	Tag       string // empty for a manifest or blob by digest
	Digest    string
	MediaType string
	Size      int64
	Principal account.Principal
	Remote    string
}

func (r *Registry) emit(ctx context.Context, e Event) {
	e.Remote = audit.Remote(ctx)
	for _, tell := range r.o.Events {
		tell(ctx, e)
	}
}

func (r *Registry) changed(ctx context.Context, c catalog.Change) {
	e := Event{Action: "push", Repo: c.Repository, Tag: c.Tag, Digest: c.Digest, MediaType: c.MediaType, Size: c.Size, Principal: c.By}
	if c.Action == catalog.Delete {
		e.Action, e.Digest = "delete", c.Previous
	}
	r.emit(ctx, e)
}
