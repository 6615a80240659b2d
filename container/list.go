package container

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/api"
)

// listed is a container that a list has.
type listed struct {
	*Record
	health           *container.HealthSummary
	image            string   // what it is called now
	links            []string // what it is called by links to it
	sizeRw, sizeRoot int64
}

// List returns the selected containers, the newest first.
func (s *Service) List(ctx context.Context, o ListOptions) ([]container.Summary, error) {
	list, err := s.list(ctx, o)
	if err != nil {
		return nil, err
	}
	out := make([]container.Summary, len(list))
	for i := range list {
		out[i] = s.summary(&list[i])
	}
	return out, nil
}

// ListBrief is List for a table of very many. It makes each row when it is asked
// for the next one, so that a client reads while others are made.
func (s *Service) ListBrief(ctx context.Context, o ListOptions) (iter.Seq[api.ContainerBrief], error) {
	list, err := s.list(ctx, o)
	if err != nil {
		return nil, err
	}
	now := s.clock.now()
	return func(yield func(api.ContainerBrief) bool) {
		for i := range list {
			if !yield(brief(&list[i], now)) {
				return
			}
		}
	}, nil
}

// list selects containers and sorts them, the newest first.
func (s *Service) list(ctx context.Context, o ListOptions) ([]listed, error) {
	q, err := s.selection(ctx, o)
	if err != nil {
		return nil, err
	}
	all := s.index.all()
	found := make([]listed, 0, len(all))
	linked := s.linkNames(all)
	for _, e := range all {
		h := e.healthSummary()
		if r := e.record(); q.wants(r, h.Status, linked[r.ID]) {
			found = append(found, listed{Record: r, health: h, links: linked[r.ID]})
		}
	}
	slices.SortFunc(found, func(a, b listed) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID))
	})
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	images := map[string]string{} // reference → ID, now
	for i := range found {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		it := &found[i]
		current, ok := images[it.Config.Image]
		if !ok {
			current = s.imageName(ctx, it.Record)
			images[it.Config.Image] = current
		}
		it.image = current
		if o.Size {
			it.sizeRw, it.sizeRoot = s.sizes(ctx, it.Record)
		}
	}
	return found, nil
}

// imageName is what the container's image is called: as in the request, while
// that still means the same image.
func (s *Service) imageName(ctx context.Context, r *Record) string {
	img, err := s.images.Resolve(ctx, r.Config.Image, &r.Image.Platform)
	if err != nil || img.ID != r.Image.ID {
		return r.Image.ID.String()
	}
	return r.Config.Image
}

// names are all names of a container, its own first.
func (it *listed) names() []string { return append([]string{"/" + it.Name}, it.links...) }

func (s *Service) summary(it *listed) container.Summary {
	r := it.Record
	sum := container.Summary{
		ID: r.ID, Names: it.names(), Image: it.image, ImageID: r.Image.ID.String(), ImageManifestDescriptor: &r.Image.Manifest,
		Command: commandLine(r.Config), Created: r.Created.Unix(), Ports: portSummaries(r), SizeRw: it.sizeRw, SizeRootFs: it.sizeRoot,
		Labels: r.Config.Labels, State: r.shown(), Status: status(r, s.clock.now(), it.health.Status), Health: it.health,
		NetworkSettings: &container.NetworkSettingsSummary{Networks: s.endpoints(r)}, Mounts: s.mountPoints(r),
	}
	sum.HostConfig.NetworkMode = string(r.HostConfig.NetworkMode)
	sum.HostConfig.Annotations = r.HostConfig.Annotations
	return sum
}

func brief(it *listed, now time.Time) api.ContainerBrief {
	r := it.Record
	b := api.ContainerBrief{
		ID: r.ID, Names: it.names(), Image: it.image, Command: commandLine(r.Config), Created: r.Created.Unix(),
		Ports: portSummaries(r), SizeRw: it.sizeRw, SizeRootFs: it.sizeRoot, State: r.shown(), Status: status(r, now, it.health.Status),
	}
	if strings.HasPrefix(r.Image.ID.Encoded(), strings.TrimPrefix(it.image, "sha256:")) {
		b.ImageID = r.Image.ID.String()
	}
	return b
}

// status is the state for people.
func status(r *Record, now time.Time, h container.HealthStatus) string {
	ago := func(t time.Time) string { return units.HumanDuration(now.Sub(t)) }
	switch r.State {
	case Created, Starting:
		return "Created"
	case Exited:
		if r.StartedAt.IsZero() {
			return "Created"
		}
		return fmt.Sprintf("Exited (%d) %s ago", r.ExitCode, ago(r.FinishedAt))
	case Running, Stopping:
		up := "Up " + ago(r.StartedAt)
		switch h {
		case container.Starting:
			return up + " (health: starting)"
		case container.Healthy, container.Unhealthy:
			return up + " (" + string(h) + ")"
		case container.NoHealthcheck:
		}
		return up
	case Paused:
		return "Up " + ago(r.StartedAt) + " (Paused)"
	case Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", r.ExitCode, ago(r.FinishedAt))
	case Removing:
		return "Removal In Progress"
	case Dead:
		return "Dead"
	}
	return ""
}

// commandLine shows the command; words with spaces are quoted.
func commandLine(c *container.Config) string {
	words := slices.Concat(c.Entrypoint, c.Cmd)
	for i, w := range words {
		if i > 0 && strings.Contains(w, " ") {
			words[i] = "'" + w + "'"
		}
	}
	return strings.Join(words, " ")
}

// exposed are the ports that a running container lets be seen: as with Docker,
// those of an interface of its own, so none on the host's or another's network.
func exposed(r *Record) nettypes.PortSet {
	if !r.State.live() || r.Network == nil || len(r.Network.Endpoints) == 0 {
		return nil
	}
	return r.Config.ExposedPorts
}

// portSummaries lists published ports, then those that are only exposed.
func portSummaries(r *Record) []container.PortSummary {
	out := []container.PortSummary{}
	public := map[string]bool{}
	key := func(num uint16, proto string) string { return fmt.Sprintf("%d/%s", num, proto) }
	if r.Network != nil {
		for b := range r.Network.Ports.All() {
			out = append(out, container.PortSummary{IP: b.HostIP, PrivatePort: b.ContainerPort, PublicPort: b.HostPort, Type: b.Proto})
			public[key(b.ContainerPort, b.Proto)] = true
		}
	}
	for p := range exposed(r) {
		if !public[key(p.Num(), string(p.Proto()))] {
			out = append(out, container.PortSummary{PrivatePort: p.Num(), Type: string(p.Proto())})
		}
	}
	slices.SortFunc(out, func(a, b container.PortSummary) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), strings.Compare(a.Type, b.Type),
			cmp.Compare(a.PublicPort, b.PublicPort), a.IP.Compare(b.IP))
	})
	return out
}
