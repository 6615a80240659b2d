package build

import (
	"context"
	"maps"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/worker/base"

	"github.com/berth-engine/berth/image"
)

// exporterMoby is what clients of Docker call the exporter to the engine's own
// images.
const exporterMoby = "moby"

// moby is BuildKit's worker with that exporter besides, and bounds on clones.
type moby struct {
	*base.Worker
	clones cloning // zero: there is no git
}

func (b *moby) Exporter(name string, sm *session.Manager) (exporter.Exporter, error) {
	if name != exporterMoby {
		return b.Worker.Exporter(name, sm)
	}
	e, err := b.Worker.Exporter(client.ExporterImage, sm)
	if err != nil {
		return nil, err
	}
	return keeping{e}, nil
}

// keeping is an exporter whose images stay if they have no name, as images
// without one.
type keeping struct{ exporter.Exporter }

func (k keeping) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	attrs = maps.Clone(attrs)
	if attrs == nil {
		attrs = map[string]string{}
	}
	if attrs["name"] == "" {
		delete(attrs, "name")
		attrs["dangling-name-prefix"] = image.DanglingPrefix
	}
	return k.Exporter.Resolve(ctx, id, attrs)
}
