package container

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// List returns the selected containers, the newest first.
func (s *Service) List(ctx context.Context, o ListOptions) ([]container.Summary, error) {
	q, err := s.selection(ctx, o)
	if err != nil {
		return nil, err
	}
	type item struct {
		*Record
		health *container.HealthSummary
	}
	var found []item
	for _, e := range s.index.all() {
		h := e.healthSummary()
		if r := e.record(); q.wants(r, h.Status) {
			found = append(found, item{r, h})
		}
	}
	slices.SortFunc(found, func(a, b item) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID))
	})
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	images := map[string]string{} // reference → ID, now
	out := make([]container.Summary, 0, len(found))
	for _, it := range found {
		r := it.Record
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sum := s.summary(r, it.health, o.Brief)
		if current, ok := images[r.Config.Image]; ok {
			sum.Image = current
		} else {
			sum.Image = s.imageName(ctx, r)
			images[r.Config.Image] = sum.Image
		}
		if o.Size {
			rw, root := s.sizes(ctx, r)
			sum.SizeRw, sum.SizeRootFs = rw, root
		}
		out = append(out, sum)
	}
	return out, nil
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

func (s *Service) summary(r *Record, h *container.HealthSummary, brief bool) container.Summary {
	sum := container.Summary{
		ID: r.ID, Names: []string{"/" + r.Name}, ImageID: r.Image.ID.String(),
		Command: commandLine(r.Config), Created: r.Created.Unix(), Ports: portSummaries(r),
		State: r.shown(), Status: status(r, s.clock.now(), h.Status), Health: h,
	}
	if brief {
		return sum
	}
	sum.ImageManifestDescriptor, sum.Labels = &r.Image.Manifest, r.Config.Labels
	sum.NetworkSettings = &container.NetworkSettingsSummary{Networks: s.endpoints(r)}
	sum.Mounts = s.mountPoints(r)
	sum.HostConfig.NetworkMode = string(r.HostConfig.NetworkMode)
	sum.HostConfig.Annotations = r.HostConfig.Annotations
	return sum
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

// portSummaries lists published ports, then those that are only exposed.
func portSummaries(r *Record) []container.PortSummary {
	out := []container.PortSummary{}
	public := map[string]bool{}
	key := func(num uint16, proto string) string { return fmt.Sprintf("%d/%s", num, proto) }
	if r.Network != nil {
		for _, b := range r.Network.Ports {
			out = append(out, container.PortSummary{IP: b.HostIP, PrivatePort: b.ContainerPort, PublicPort: b.HostPort, Type: b.Proto})
			public[key(b.ContainerPort, b.Proto)] = true
		}
	}
	if r.State.live() {
		for p := range r.Config.ExposedPorts {
			if !public[key(p.Num(), string(p.Proto()))] {
				out = append(out, container.PortSummary{PrivatePort: p.Num(), Type: string(p.Proto())})
			}
		}
	}
	slices.SortFunc(out, func(a, b container.PortSummary) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), strings.Compare(a.Type, b.Type),
			cmp.Compare(a.PublicPort, b.PublicPort), a.IP.Compare(b.IP))
	})
	return out
}
