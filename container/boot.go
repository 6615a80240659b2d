package container

import (
	"context"
	"runtime"
	"slices"
	"strings"
)

// Labels by which Compose says what a container is and needs. They count only
// where the request that made the container had them: an image that has them
// says nothing about this host.
const (
	labelProject   = "com.docker.compose.project"
	labelService   = "com.docker.compose.service"
	labelOneOff    = "com.docker.compose.oneoff"
	labelDependsOn = "com.docker.compose.depends_on"
)

// toBoot tells whether Restore has left a container that is to be started.
func toBoot(e *entry) bool {
	r := e.record()
	return !e.gone && e.live == nil && (r.State == Restarting || r.State == Exited && r.unfinished())
}

// booting is one container on its way.
type booting struct {
	e    *entry
	run  uint64
	stop chan struct{} // closed when somebody else has moved it
	done chan struct{} // closed when its start was tried
}

// boot starts the containers that are to run after a start of the engine, each
// after those that it needs have been tried. One that cannot be started holds
// nobody up; what waits for it in turn may fail, and is tried again by its
// policy.
func (s *Service) boot(list []*entry) {
	if len(list) == 0 {
		return
	}
	all := map[string]*booting{}
	needs := map[string][]string{}
	services := s.composeServices()
	for _, e := range list {
		r := e.record()
		b := &booting{e: e, run: r.Run, stop: make(chan struct{}), done: make(chan struct{})}
		all[e.id] = b
		needs[e.id] = s.needs(r, services)
		if r.State == Restarting {
			e.pause = nextPause(0, 0)
			e.cancel = func() { close(b.stop) }
		}
	}
	// Most of a start is waiting for the kernel, and all at once would only
	// queue there.
	slots := make(chan struct{}, max(4, 2*runtime.NumCPU()))
	for id, before := range acyclic(needs) {
		b := all[id]
		s.tasks.do(func(ctx context.Context) {
			defer close(b.done)
			for _, other := range before {
				select {
				case <-all[other].done:
				case <-b.stop:
					return
				case <-ctx.Done():
					return
				}
			}
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				return
			}
			s.bootOne(ctx, b)
		})
	}
}

func (s *Service) bootOne(ctx context.Context, b *booting) {
	e := b.e
	if e.record().State == Restarting {
		s.restartNow(ctx, e, b.run)
		return
	}
	if err := e.acquire(ctx); err != nil {
		return
	}
	defer e.release()
	if r := e.record(); !e.gone && e.live == nil && r.Run == b.run && r.State == Exited && r.unfinished() {
		s.finishEdit(ctx, e)
	}
}

// composeService is a service of a Compose project.
type composeService struct{ project, name string }

// composeServices are the containers of each.
func (s *Service) composeServices() map[composeService][]string {
	out := map[composeService][]string{}
	for _, e := range s.index.all() {
		l := e.record().RequestLabels
		if at := (composeService{l[labelProject], l[labelService]}); at.project != "" && at.name != "" && !strings.EqualFold(l[labelOneOff], "true") {
			out[at] = append(out[at], e.id)
		}
	}
	return out
}

// needs lists the containers that r refers to: those whose namespaces or
// volumes it shares, those that it is linked to, and what Compose says.
func (s *Service) needs(r *Record, services map[composeService][]string) []string {
	var refs []string
	h := r.HostConfig
	if h.NetworkMode.IsContainer() {
		refs = append(refs, h.NetworkMode.ConnectedContainer())
	}
	if h.PidMode.IsContainer() {
		refs = append(refs, h.PidMode.Container())
	}
	if h.IpcMode.IsContainer() {
		refs = append(refs, h.IpcMode.Container())
	}
	for _, list := range [][]string{h.VolumesFrom, h.Links} {
		for _, raw := range list {
			name, _, _ := strings.Cut(raw, ":")
			refs = append(refs, name)
		}
	}
	var ids []string
	for _, ref := range refs {
		if e, err := s.find(ref); err == nil {
			ids = append(ids, e.id)
		}
	}
	project := r.RequestLabels[labelProject]
	for entry := range strings.SplitSeq(r.RequestLabels[labelDependsOn], ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(entry), ":") // service:condition:restart
		if project != "" && name != "" {
			ids = append(ids, services[composeService{project, name}]...)
		}
	}
	return ids
}

// acyclic leaves of needs what is among its keys and leads to no circle: what
// is found on the way back to where it began is left out. The outcome depends on
// the IDs alone.
func acyclic(needs map[string][]string) map[string][]string {
	const (
		under = 1 // on the way from where the search began
		done  = 2
	)
	state := map[string]int{}
	out := map[string][]string{}
	var visit func(id string)
	visit = func(id string) {
		state[id] = under
		out[id] = nil
		before := slices.Clone(needs[id])
		slices.Sort(before)
		for _, other := range slices.Compact(before) {
			if _, known := needs[other]; !known || state[other] == under {
				continue
			}
			if state[other] == 0 {
				visit(other)
			}
			out[id] = append(out[id], other)
		}
		state[id] = done
	}
	ids := make([]string, 0, len(needs))
	for id := range needs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if state[id] == 0 {
			visit(id)
		}
	}
	return out
}
