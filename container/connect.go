package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/network"
)

// Docker's words for networks that cannot be combined.
const (
	sharesNetwork = "container sharing network namespace with another container or host cannot be connected to any other network"
	hostNetwork   = "container cannot be disconnected from host network or connected to host network"
	noNetwork     = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
)

// ConnectNetwork puts a container on one more network: at once if it runs, and
// at every start from now on.
func (s *Service) ConnectNetwork(ctx context.Context, ref, on string, asked *nettypes.EndpointSettings) error {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	defer e.release()
	name, _, ok := s.networks.Identify(on)
	if !ok {
		return notFound("network %s not found", on)
	}
	if asked == nil {
		asked = &nettypes.EndpointSettings{}
	}
	r := e.record()
	if err := joinable(r, name); err != nil {
		return err
	}
	if err := validateEndpoint(name, asked); err != nil {
		return err
	}
	next := *r
	next.Endpoints = s.wanted(r)
	if err := combinable(next.Endpoints, name); err != nil {
		return err
	}
	if name == nettypes.NetworkNone {
		next.Endpoints[name] = &nettypes.EndpointSettings{}
		return s.save(e, &next) // there is nothing to attach
	}
	if _, there := next.Endpoints[name]; there {
		if r.Network != nil && onOne(r.Network, name) {
			return fail(errdefs.ErrPermissionDenied, "endpoint with name %s already exists in network %s", r.Name, name)
		}
	}
	next.Endpoints[name] = configOnly(asked)
	if !r.State.live() {
		return s.save(e, &next)
	}
	ports, err := portSpecs(r.Config, r.HostConfig)
	if err != nil {
		return err
	}
	return s.changeNetwork(ctx, e, &next, func(ns *os.File) (network.Result, error) {
		return s.networks.Connect(ctx, e.id, ns, s.place(r, name, asked), ports)
	}, func(ctx context.Context, ns *os.File) error {
		_, err := s.networks.Disconnect(ctx, e.id, ns, name, ports)
		return err
	})
}

// joinable tells why a container cannot be on a network.
func joinable(r *Record, name string) error {
	mode := r.HostConfig.NetworkMode
	switch {
	case r.State == Removing || r.State == Dead:
		return conflict("container %s is marked for removal and cannot be connected or disconnected to the network", r.ID)
	case mode.IsContainer(), mode.IsHost() && name != nettypes.NetworkHost:
		return invalid(sharesNetwork)
	case name == nettypes.NetworkHost:
		return invalid(hostNetwork)
	}
	return nil
}

// combinable: who is on "none" is on nothing else, until it is disconnected.
func combinable(on map[string]*nettypes.EndpointSettings, name string) error {
	if len(on) == 0 {
		return nil
	}
	if _, none := on[nettypes.NetworkNone]; none != (name == nettypes.NetworkNone) {
		return invalid(noNetwork)
	}
	return nil
}

// wanted is a copy of the networks that the container is to be on.
func (s *Service) wanted(r *Record) map[string]*nettypes.EndpointSettings {
	if r.Endpoints != nil {
		return maps.Clone(r.Endpoints)
	}
	return map[string]*nettypes.EndpointSettings{s.networkName(string(r.HostConfig.NetworkMode)): {}}
}

// DisconnectNetwork takes a container off a network. Force changes nothing: with
// Docker it is for a container that is gone and still on the network, and here none
// is.
func (s *Service) DisconnectNetwork(ctx context.Context, ref, from string, _ bool) error {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	defer e.release()
	r := e.record()
	name := s.networkName(from)
	if err := leavable(r); err != nil {
		return err
	}
	next := *r
	next.Endpoints = s.wanted(r)
	_, asked := next.Endpoints[name]
	delete(next.Endpoints, name)
	running := r.State.live() && r.Network != nil && onOne(r.Network, name)
	switch {
	case !asked && !running:
		if _, _, ok := s.networks.Identify(from); !ok {
			return notFound("network %s not found", from)
		}
		return fail(errdefs.ErrPermissionDenied, "container %s is not connected to network %s", r.ID, name)
	case !running:
		return s.save(e, &next)
	}
	ports, err := portSpecs(r.Config, r.HostConfig)
	if err != nil {
		return err
	}
	return s.changeNetwork(ctx, e, &next, func(ns *os.File) (network.Result, error) {
		return s.networks.Disconnect(ctx, e.id, ns, name, ports)
	}, nil)
}

func leavable(r *Record) error {
	switch {
	case r.State == Removing || r.State == Dead:
		return conflict("container %s is marked for removal and cannot be connected or disconnected to the network", r.ID)
	case r.HostConfig.NetworkMode.IsHost():
		return invalid(hostNetwork)
	case r.HostConfig.NetworkMode.IsContainer():
		return invalid(sharesNetwork)
	}
	return nil
}

func onOne(res *network.Result, name string) bool {
	return slices.ContainsFunc(res.Endpoints, func(e network.Endpoint) bool { return e.Network == name })
}

// changeNetwork changes the network of a running container: what do makes of it is
// saved, and brought into its files under /etc. back undoes do; nil: nothing
// can be done about a record that cannot be saved.
func (s *Service) changeNetwork(ctx context.Context, e *entry, next *Record, do func(ns *os.File) (network.Result, error), back func(context.Context, *os.File) error) error {
	ctx = context.WithoutCancel(ctx)
	r := e.record()
	ns, err := e.netNamespace()
	if err != nil {
		return err
	}
	defer ns.Close()
	res, err := do(ns)
	if err != nil {
		return err
	}
	next.Network = &res
	if err := s.save(e, next); err != nil {
		if back != nil {
			err = errors.Join(err, back(ctx, ns))
		}
		return err
	}
	if err := s.editEtc(r, next); err != nil {
		s.log.Warn("cannot bring the files of a container's network up to date", "container", e.id, "err", err)
	}
	return nil
}

// netNamespace opens the network namespace of what runs.
func (e *entry) netNamespace() (*os.File, error) {
	if e.live == nil || e.live.box == nil {
		return nil, conflict("container %s is not running", e.id)
	}
	ns, err := os.Open("/proc/" + strconv.Itoa(e.live.box.Pid()) + "/ns/net")
	if err == nil && !e.live.box.Running() {
		err = errors.Join(errors.New("it has just ended"), ns.Close())
	}
	if err != nil {
		return nil, conflict("network of container %s: %v", short(e.id), err)
	}
	return ns, nil
}

// editEtc brings /etc/hosts and /etc/resolv.conf of a running container up to
// date, but for what the container itself has written there.
func (s *Service) editEtc(before, after *Record) error {
	dir := s.records.dir(after.ID)
	old, lines := hostsLines(before, before.Network), hostsLines(after, after.Network)
	errHosts := rewrite(filepath.Join(dir, "hosts"), func(text string) string {
		for _, line := range old {
			if !slices.Contains(lines, line) {
				text = strings.Replace(text, line, "", 1)
			}
		}
		for _, line := range lines {
			if !slices.Contains(old, line) {
				if text != "" && !strings.HasSuffix(text, "\n") {
					text += "\n"
				}
				text += line
			}
		}
		return text
	})
	was, err := s.resolvConf(before, before.Network)
	if err != nil {
		return errors.Join(errHosts, err)
	}
	is, err := s.resolvConf(after, after.Network)
	if err != nil {
		return errors.Join(errHosts, err)
	}
	return errors.Join(errHosts, rewrite(filepath.Join(dir, "resolv.conf"), func(text string) string {
		if text == was {
			return is
		}
		return text
	}))
}

// maxEtc bounds how much of a file that a container may have written is read.
const maxEtc = 1 << 20

// rewrite changes a file in place: it is bound into the container.
func rewrite(path string, edit func(string) string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxEtc {
		return fmt.Errorf("%s: longer than %d bytes", path, maxEtc)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := edit(string(data))
	if text == string(data) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), 0)
	return errors.Join(err, f.Truncate(int64(len(text))), f.Close())
}
