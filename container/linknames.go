package container

import (
	"context"
	"slices"
	"strings"
)

// A link is a second name of the child, "parent/alias": ps shows it, and every
// command takes it.

// byLink finds the child that a parent's link leads to.
func (s *Service) byLink(ref string) *entry {
	parent, alias, ok := strings.Cut(strings.TrimPrefix(ref, "/"), "/")
	if !ok {
		return nil
	}
	id, _ := s.names.lookup(parent)
	e := s.index.get(id)
	if e == nil {
		return nil
	}
	for _, l := range s.linked(e.record()) {
		if l.alias == alias {
			return l.child
		}
	}
	return nil
}

// linkNames are the names "/parent/alias" of all children, by ID.
func (s *Service) linkNames(all []*entry) map[string][]string {
	names := map[string][]string{}
	for _, e := range all {
		r := e.record()
		if len(r.HostConfig.Links) == 0 {
			continue
		}
		for _, l := range s.linked(r) {
			names[l.child.id] = append(names[l.child.id], "/"+r.Name+"/"+l.alias)
		}
	}
	for _, list := range names {
		slices.Sort(list)
	}
	return names
}

// removeLink takes a link away from its parent, for the hosts file at once. The
// variables of what runs already stay, as they must.
func (s *Service) removeLink(ctx context.Context, ref string) error {
	child, err := s.find(ref)
	if err != nil {
		return err
	}
	parent, alias, ok := strings.Cut(strings.TrimPrefix(ref, "/"), "/")
	if !ok {
		return conflict("Conflict, cannot remove the default link name of the container")
	}
	e, err := s.findLocked(ctx, parent)
	if err != nil {
		return notFound("Cannot get parent /%s for link name /%s/%s", parent, parent, alias)
	}
	defer e.release()
	if e.record().Edit != nil {
		return conflict("container %s is being changed", e.id)
	}
	next, host := *e.record(), *e.record().HostConfig
	host.Links = slices.DeleteFunc(slices.Clone(host.Links), func(l string) bool { return l == child.id+":"+alias })
	next.HostConfig = &host
	if err := s.save(e, &next); err != nil {
		return err
	}
	return s.rewriteHosts(&next)
}
