package container

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"
	nettypes "github.com/moby/moby/api/types/network"
)

// selection is a list request, understood.
type selection struct {
	ListOptions
	names         []*regexp.Regexp
	exited        []int
	images        []string // IDs of "ancestor", and the words themselves
	before, since *Record
	published     []nettypes.PortRange
	exposed       []nettypes.PortRange
}

var listFilters = []string{
	"ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
	"publish", "since", "status", "volume",
}

func (s *Service) selection(ctx context.Context, o ListOptions) (*selection, error) {
	q := &selection{ListOptions: o}
	if err := o.Filters.only(listFilters...); err != nil {
		return nil, err
	}
	for _, v := range o.Filters.values("status") {
		if err := container.ValidateContainerState(container.ContainerState(v)); err != nil {
			return nil, invalid("invalid filter 'status=%s': %v", v, err)
		}
		q.All = true
	}
	for _, v := range o.Filters.values("exited") {
		code, err := strconv.Atoi(v)
		if err != nil {
			return nil, invalid("invalid filter 'exited=%s'", v)
		}
		q.exited = append(q.exited, code)
	}
	for _, v := range o.Filters.values("health") {
		if !slices.Contains([]string{"starting", "healthy", "unhealthy", "none"}, v) {
			return nil, invalid("invalid filter 'health=%s'", v)
		}
	}
	for _, v := range o.Filters.values("is-task") {
		if _, err := strconv.ParseBool(v); err != nil {
			return nil, invalid("invalid filter 'is-task=%s'", v)
		}
	}
	for _, v := range o.Filters.values("name") {
		re, err := regexp.Compile(v)
		if err != nil {
			return nil, invalid("invalid filter 'name=%s': %v", v, err)
		}
		q.names = append(q.names, re)
	}
	for _, v := range o.Filters.values("ancestor") {
		q.images = append(q.images, v)
		if img, err := s.images.Resolve(ctx, v, nil); err == nil {
			q.images = append(q.images, img.ID.String())
		}
	}
	if err := q.ports(); err != nil {
		return nil, err
	}
	return q, s.borders(q)
}

// borders resolves the containers that before and since name.
func (s *Service) borders(q *selection) error {
	for key, dst := range map[string]**Record{"before": &q.before, "since": &q.since} {
		for _, v := range q.Filters.values(key) {
			e, err := s.find(v)
			if err != nil {
				return err
			}
			*dst, q.All = e.record(), true
		}
	}
	return nil
}

func (q *selection) ports() error {
	for key, dst := range map[string]*[]nettypes.PortRange{"publish": &q.published, "expose": &q.exposed} {
		for _, v := range q.Filters.values(key) {
			r, err := nettypes.ParsePortRange(v)
			if err != nil {
				return invalid("invalid filter '%s=%s': %v", key, v, err)
			}
			*dst = append(*dst, r)
		}
	}
	return nil
}

// wants reports whether a container belongs to the answer.
func (q *selection) wants(r *Record, h container.HealthStatus, links []string) bool {
	f := q.Filters
	if !q.All && q.Limit <= 0 && !r.State.live() && r.State != Restarting {
		return false
	}
	return f.labels(r.Config.Labels) &&
		matchAny(f.values("id"), func(v string) bool { return strings.HasPrefix(r.ID, v) }) &&
		q.wantsName(r, links) &&
		matchAny(f.values("status"), func(v string) bool { return v == string(r.shown()) }) &&
		(q.exited == nil || r.Run > 0 && !r.State.live() && slices.Contains(q.exited, r.ExitCode)) &&
		matchAny(q.images, func(v string) bool { return v == r.Image.ID.String() || v == r.Config.Image }) &&
		matchAny(f.values("health"), func(v string) bool { return v == string(h) }) &&
		matchAny(f.values("is-task"), func(v string) bool { b, err := strconv.ParseBool(v); return err == nil && !b }) &&
		(q.before == nil || r.Created.Before(q.before.Created)) &&
		(q.since == nil || r.Created.After(q.since.Created)) &&
		matchAny(f.values("volume"), func(v string) bool { return hasVolume(r, v) }) &&
		matchAny(f.values("network"), func(v string) bool { return onNetwork(r, v) }) &&
		q.wantsPorts(r)
}

func (q *selection) wantsName(r *Record, links []string) bool {
	return len(q.names) == 0 || slices.ContainsFunc(q.names, func(re *regexp.Regexp) bool {
		return re.MatchString("/"+r.Name) || re.MatchString(r.Name) || slices.ContainsFunc(links, re.MatchString)
	})
}

func hasVolume(r *Record, v string) bool {
	return slices.ContainsFunc(r.Mounts, func(m Mount) bool {
		return m.Name == v || m.Destination == v || m.Source == v && m.Type == mounttypes.TypeBind
	})
}

func onNetwork(r *Record, v string) bool {
	mode := r.HostConfig.NetworkMode
	_, asked := r.Endpoints[v]
	if asked || mode.NetworkName() == v && (r.Endpoints == nil || mode.IsHost()) {
		return true
	}
	if r.Network == nil {
		return false
	}
	for _, e := range r.Network.Endpoints {
		if e.Network == v || strings.HasPrefix(e.NetworkID, v) {
			return true
		}
	}
	return false
}

func (q *selection) wantsPorts(r *Record) bool {
	within := func(ranges []nettypes.PortRange, p nettypes.Port) bool {
		return slices.ContainsFunc(ranges, func(pr nettypes.PortRange) bool {
			return pr.Proto() == p.Proto() && p.Num() >= pr.Start() && p.Num() <= pr.End()
		})
	}
	if len(q.published) > 0 {
		found := false
		for p := range r.HostConfig.PortBindings {
			found = found || within(q.published, p)
		}
		if r.Network != nil {
			for b := range r.Network.Ports.All() {
				if p, ok := nettypes.PortFrom(b.HostPort, nettypes.IPProtocol(b.Proto)); ok {
					found = found || within(q.published, p)
				}
			}
		}
		if !found {
			return false
		}
	}
	if len(q.exposed) > 0 {
		for p := range r.Config.ExposedPorts {
			if within(q.exposed, p) {
				return true
			}
		}
		return false
	}
	return true
}
