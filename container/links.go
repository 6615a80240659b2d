package container

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/network"
)

// A link is Docker's old way for a container on the default bridge to know
// another one: a name in /etc/hosts, and variables of the environment that tell
// its ports and its own variables.
type link struct {
	child *entry
	alias string
}

// parseLink reads "name:alias", or "name" alone.
func parseLink(text string) (name, alias string, err error) {
	parts := strings.Split(text, ":")
	switch {
	case text == "":
		return "", "", invalid("empty string specified for links")
	case len(parts) > 2 || parts[0] == "" || parts[len(parts)-1] == "":
		return "", "", invalid("bad format for links: %s", text)
	}
	// What inspect shows may be sent back: "/name:/parent/alias".
	return parts[0], filepath.Base(parts[len(parts)-1]), nil
}

// bindLinks checks the links of a request and makes them lead to IDs, so that a
// later rename changes nothing.
func (s *Service) bindLinks(h *container.HostConfig) error {
	if len(h.Links) == 0 {
		return nil
	}
	switch {
	case h.NetworkMode.IsHost():
		return invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
	case h.NetworkMode.IsContainer():
		return invalid("conflicting options: container type network can't be used with links. This would result in undefined behavior")
	}
	if h.NetworkMode.IsUserDefined() {
		return nil // names for the resolver, which knows who is there
	}
	bound := make([]string, 0, len(h.Links))
	for _, text := range h.Links {
		name, alias, err := parseLink(text)
		if err != nil {
			return err
		}
		// Not "not found": clients take that for the image.
		child, err := s.find(name)
		for err == nil && child.record().HostConfig.NetworkMode.IsContainer() {
			child, err = s.find(child.record().HostConfig.NetworkMode.ConnectedContainer())
		}
		if err != nil {
			return invalid("could not get container for %s: %w", name, err)
		}
		if child.record().HostConfig.NetworkMode.IsHost() {
			return invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
		}
		if strings.ContainsAny(alias, " \t\r\n\x00#=") {
			return invalid("bad format for links: %s", text)
		}
		bound = append(bound, child.id+":"+alias)
	}
	h.Links = bound
	return nil
}

// links are those of a container that is about to run. A child that does not run,
// or is not on the default bridge, is an error then, as with Docker; one that was
// removed is a link no more.
func (s *Service) links(r *Record) ([]link, error) {
	all := s.linked(r)
	_, parent := s.wanted(r)[network.DefaultNetwork]
	for _, l := range all {
		if _, ok := s.wanted(l.child.record())[network.DefaultNetwork]; parent && !ok {
			return nil, conflict("Cannot link to /%s, as it does not belong to the default network", l.child.record().Name)
		}
		if !l.child.record().State.live() {
			return nil, conflict("Cannot link to a non running container: /%s AS /%s/%s", l.child.record().Name, r.Name, l.alias)
		}
	}
	return all, nil
}

// linksNow are those of a container that runs: to children that run.
func (s *Service) linksNow(r *Record) []link {
	return slices.DeleteFunc(s.linked(r), func(l link) bool { return !l.child.record().State.live() })
}

// linked are the links of a container on the default bridge.
func (s *Service) linked(r *Record) []link {
	if r.HostConfig.NetworkMode.IsUserDefined() {
		return nil
	}
	var out []link
	for _, text := range r.HostConfig.Links {
		id, alias, err := parseLink(text)
		if err != nil {
			continue // bindLinks wrote it
		}
		if child := s.index.get(id); child != nil {
			out = append(out, link{child, alias})
		}
	}
	return out
}

// shownLinks are the links as inspect shows them: "/child:/parent/alias".
func (s *Service) shownLinks(r *Record) []string {
	if r.HostConfig.NetworkMode.IsUserDefined() {
		return r.HostConfig.Links
	}
	var out []string
	for _, l := range s.linked(r) {
		out = append(out, "/"+l.child.record().Name+":/"+r.Name+"/"+l.alias)
	}
	return out
}

// address of the child on the default bridge; "" if it has none.
func (l link) address() string {
	n := l.child.record().Network
	if n == nil {
		return ""
	}
	i := slices.IndexFunc(n.Endpoints, func(e network.Endpoint) bool { return e.Network == network.DefaultNetwork })
	if i < 0 || !n.Endpoints[i].IPv4.IsValid() {
		return ""
	}
	return n.Endpoints[i].IPv4.Addr().String()
}

// hosts is the link's line of /etc/hosts.
func (l link) hosts() string {
	child := l.child.record()
	addr := l.address()
	if addr == "" {
		return ""
	}
	names := l.alias + " " + child.Config.Hostname
	if l.alias != child.Name {
		names += " " + child.Name
	}
	return addr + "\t" + names + "\n"
}

// env are the variables that tell the container of name parent of the link.
func (l link) env(parent string) []string {
	child := l.child.record()
	prefix := strings.ReplaceAll(strings.ToUpper(l.alias), "-", "_")
	ports := make([]nettypes.Port, 0, len(child.Config.ExposedPorts))
	for p := range child.Config.ExposedPorts {
		ports = append(ports, p)
	}
	slices.SortFunc(ports, func(a, b nettypes.Port) int {
		return cmp.Or(cmp.Compare(a.Num(), b.Num()), strings.Compare(string(a.Proto()), string(b.Proto())))
	})
	url := func(p nettypes.Port) string {
		return fmt.Sprintf("%s://%s:%d", p.Proto(), l.address(), p.Num())
	}
	var env []string
	if len(ports) > 0 {
		env = append(env, prefix+"_PORT="+url(ports[0]))
	}
	of := func(p nettypes.Port) string {
		return fmt.Sprintf("%s_PORT_%d_%s", prefix, p.Num(), strings.ToUpper(string(p.Proto())))
	}
	for _, run := range runs(ports) {
		p, q := run[0], run[len(run)-1]
		env = append(env, of(p)+"_START="+url(p), of(p)+"_ADDR="+l.address(), of(p)+"_PROTO="+string(p.Proto()),
			of(p)+"_PORT_START="+strconv.Itoa(int(p.Num())), of(p)+"_END="+url(q), of(p)+"_PORT_END="+strconv.Itoa(int(q.Num())))
	}
	for _, p := range ports {
		env = append(env, of(p)+"="+url(p), of(p)+"_ADDR="+l.address(), of(p)+"_PORT="+strconv.Itoa(int(p.Num())), of(p)+"_PROTO="+string(p.Proto()))
	}
	env = append(env, prefix+"_NAME=/"+parent+"/"+l.alias)
	for _, v := range child.Config.Env {
		key, value, ok := strings.Cut(v, "=")
		if ok && key != "HOME" && key != "PATH" {
			env = append(env, prefix+"_ENV_"+key+"="+value)
		}
	}
	return env
}

// runs are ports that follow each other, three and more, as Docker tells them.
func runs(ports []nettypes.Port) [][]nettypes.Port {
	var out [][]nettypes.Port
	for i := 0; i < len(ports); {
		j := i + 1
		for j < len(ports) && ports[j].Num() == ports[j-1].Num()+1 && ports[j].Proto() == ports[i].Proto() {
			j++
		}
		if j-i >= 3 {
			out = append(out, ports[i:j])
		}
		i = j
	}
	return out
}

// linkEnv are the variables of links.
func linkEnv(r *Record, all []link) []string {
	var env []string
	for _, l := range all {
		env = append(env, l.env(r.Name)...)
	}
	return env
}

// tellParents writes the new address of a container into /etc/hosts of those
// that run with a link to it.
func (s *Service) tellParents(ctx context.Context, child *Record) {
	for _, e := range s.index.all() {
		r := e.record()
		linked := slices.ContainsFunc(r.HostConfig.Links, func(l string) bool { return strings.HasPrefix(l, child.ID+":") })
		if !linked || ctx.Err() != nil {
			continue
		}
		if err := s.rewriteHosts(r); err != nil {
			s.log.Warn("cannot tell a container of the address of one that it is linked to", "container", r.ID, "link", child.ID, "err", err)
		}
	}
}

// rewriteHosts writes /etc/hosts of a container that runs anew.
func (s *Service) rewriteHosts(r *Record) error {
	if !r.State.live() || r.Network == nil {
		return nil
	}
	text, err := s.hostsFile(r, r.Network, s.linksNow(r))
	if err != nil {
		return err
	}
	// The same file: it is mounted in the container.
	return os.WriteFile(filepath.Join(s.records.dir(r.ID), "hosts"), []byte(text), 0o644)
}
