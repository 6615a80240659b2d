package image

import (
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// TestCollectUnused: what goes by each limit, and what never goes.
func TestCollectUnused(t *testing.T) {
	reg := newRegistry(t)
	root := t.TempDir()
	s, _ := openStore(t, root)
	if _, err := s.CollectUnused(t.Context(), true); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("without limits: %v", err)
	}
	ids := map[string]digest.Digest{}
	names := []string{"old", "older", "new", "pinned", "held"}
	for _, name := range names {
		ids[name] = reg.put(name+":1", newImage(t, amd64, ocispec.ImageConfig{}, newLayer(t, oci.None, file("f", name+string(randomBytes(200_000))))))
		mustPull(t, s, reg.host()+"/"+name+":1")
	}
	held, err := s.Resolve(t.Context(), reg.host()+"/held:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	release := s.Hold(held, Holder{ContainerID: "c"})
	if err := s.Pin(t.Context(), reg.host()+"/pinned:1", true); err != nil {
		t.Fatal(err)
	}
	// As if they had been pulled long ago.
	for name, days := range map[string]int{"old": 40, "older": 50, "new": 1, "pinned": 90, "held": 90} {
		s.uses.last[ids[name]] = time.Now().Add(-time.Duration(days) * 24 * time.Hour)
		backdate(t, s, reg.host()+"/"+name+":1", time.Duration(days)*24*time.Hour)
	}
	gone := func(l Limits, dry bool) []string {
		t.Helper()
		s.SetLimits(l)
		report, err := s.CollectUnused(t.Context(), dry)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, d := range report.ImagesDeleted {
			for name, id := range ids {
				if d.Deleted == id.String() {
					list = append(list, name)
				}
			}
		}
		if (len(list) > 0) != (report.SpaceReclaimed > 0) {
			t.Errorf("%v: %q are %d bytes", l, list, report.SpaceReclaimed)
		}
		return list
	}
	total, _, err := s.DiskUsage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const month = 30 * 24 * time.Hour
	for _, c := range []struct {
		limits Limits
		want   []string
	}{
		{Limits{UnusedFor: month}, nil}, // all have names
		{Limits{UnusedFor: month, Tagged: true}, []string{"older", "old"}},
		{Limits{UnusedFor: 365 * 24 * time.Hour, Tagged: true}, nil},
		{Limits{MaxUsed: Amount{Bytes: total}, Tagged: true}, nil},
		{Limits{MaxUsed: Amount{Bytes: total - 1}, Tagged: true}, []string{"older"}},
		{Limits{MaxUsed: Amount{Bytes: 1}, Tagged: true}, []string{"older", "old", "new"}},
		{Limits{MinFree: Amount{Bytes: 1}, Tagged: true}, nil},
		{Limits{MinFree: Amount{Percent: 100}, Tagged: true}, []string{"older", "old", "new"}},
	} {
		if got := gone(c.limits, true); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, not %q", c.limits, got, c.want)
		}
	}
	if got := gone(Limits{UnusedFor: month, Tagged: true}, false); !slices.Equal(got, []string{"older", "old"}) {
		t.Errorf("%q", got)
	}
	// Uses are remembered by the next daemon; who was used last goes last.
	release()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = openStore(t, root)
	if got := gone(Limits{MaxUsed: Amount{Bytes: 1}, Tagged: true}, false); !slices.Equal(got, []string{"new", "held"}) {
		t.Errorf("%q", got)
	}
	if list, err := s.List(t.Context(), ListOptions{Filters: map[string]map[string]bool{"pinned": {"true": true}}}); err != nil || len(list) != 1 {
		t.Errorf("pinned: %v, %v", list, err)
	}
	all := map[string]map[string]bool{"dangling": {"false": true}}
	if r, err := s.Prune(t.Context(), all, false); err != nil || len(r.ImagesDeleted) > 0 {
		t.Errorf("%v, %v", r, err)
	}
	if err := s.Pin(t.Context(), ids["pinned"].String(), false); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Prune(t.Context(), all, false); err != nil || len(r.ImagesDeleted) == 0 {
		t.Errorf("%v, %v", r, err)
	}
	wantEmpty(t, s)
}

// backdate makes a record older.
func backdate(t *testing.T, s *Store, name string, by time.Duration) {
	t.Helper()
	v, err := s.view(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range v.records {
		if v.records[i].Name == name {
			v.records[i].UpdatedAt = time.Now().Add(-by)
		}
	}
}
