package container

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// TestAcyclic: what needs what, and circles that are opened.
func TestAcyclic(t *testing.T) {
	for name, c := range map[string]struct{ needs, want string }{
		"chain":           {"a:b b:c c:", "a:b b:c c:"},
		"diamond":         {"a:b,c b:d c:d d:", "a:b,c b:d c:d d:"},
		"circle":          {"a:b b:c c:a", "a:b b:c c:"},
		"itself":          {"a:a", "a:"},
		"runs already":    {"a:z", "a:"},
		"twice the same":  {"a:b,b b:", "a:b b:"},
		"circle behind":   {"a:b b:c c:b d:a", "a:b b:c c: d:a"},
		"nothing to boot": {"", ""},
	} {
		needs := map[string][]string{}
		for f := range strings.FieldsSeq(c.needs) {
			id, list, _ := strings.Cut(f, ":")
			needs[id] = strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
		}
		got := acyclic(needs)
		var text []string
		for _, id := range slices.Sorted(maps.Keys(got)) {
			text = append(text, id+":"+strings.Join(got[id], ","))
		}
		if s := strings.Join(text, " "); s != c.want {
			t.Errorf("%s: got %q, want %q", name, s, c.want)
		}
	}
}

// TestBootOrder: containers start with the engine after what they need,
// whatever the order of their IDs, and one that fails holds nobody up.
func TestBootOrder(t *testing.T) {
	e := newEngine(t)
	always := func(set func(*container.CreateRequest)) string {
		req := request("sleep")
		req.HostConfig.RestartPolicy.Name = container.RestartPolicyAlways
		req.Labels = map[string]string{labelProject: "p"}
		set(req)
		id := e.create(req)
		e.start(id)
		return id
	}
	service := func(name, needs string) func(*container.CreateRequest) {
		return func(req *container.CreateRequest) {
			req.Labels[labelService] = name
			req.Labels[labelDependsOn] = needs
		}
	}
	for range 3 { // more than luck
		db := always(service("db", ""))
		broken := always(service("broken", "db:service_started:false"))
		web := always(service("web", "db:service_healthy:true,broken:service_started:false"))
		joins := always(func(req *container.CreateRequest) {
			req.HostConfig.NetworkMode = container.NetworkMode("container:" + web)
			req.HostConfig.PidMode = container.PidMode("container:" + web)
		})
		ids := []string{joins, web, broken, db}
		for _, id := range ids { // as after the machine's end: those that others need last
			if err := e.Stop(t.Context(), id, "", new(int)); err != nil {
				t.Fatal(err)
			}
		}
		entry := e.index.get(broken)
		r := *entry.record()
		bad := *r.Config
		bad.User = "nobody-of-this-name"
		r.Config = &bad
		if err := e.save(entry, &r); err != nil {
			t.Fatal(err)
		}
		e.stop()
		e.boot()
		for _, id := range []string{db, web, joins} {
			e.seen.await(id, "start")
		}
		order := e.seen.started()
		if !slices.Equal(order, []string{db, web, joins}) {
			t.Errorf("started %q, want %q", order, []string{db, web, joins})
		}
		for _, id := range ids {
			if err := e.Remove(t.Context(), id, RemoveOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// started are the containers that were started, in order.
func (l *eventLog) started() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, m := range l.list {
		if m.Type == "container" && m.Action == "start" {
			out = append(out, m.Actor.ID)
		}
	}
	return out
}
