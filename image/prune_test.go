package image

import (
	"slices"
	"testing"

	"github.com/containerd/errdefs"
)

func TestPrune(t *testing.T) {
	s, bus, name, id := pulled(t, "a:1", "b:2")
	base, err := s.Resolve(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	unnamed, err := s.Commit(t.Context(), CommitOptions{Base: base, Layer: layerOf("big", string(make([]byte, 100_000)))})
	if err != nil {
		t.Fatal(err)
	}
	total, free, err := s.DiskUsage(t.Context())
	if err != nil || total == 0 || free != total {
		t.Errorf("%d %d %v", total, free, err)
	}
	release := s.Hold(base, Holder{ContainerID: "c"})
	if again, rest, err := s.DiskUsage(t.Context()); err != nil || again != total || rest >= free || rest < 100_000 {
		t.Errorf("%d %d %v", again, rest, err)
	}
	on := func(values ...string) map[string]bool {
		m := map[string]bool{}
		for _, v := range values {
			m[v] = true
		}
		return m
	}
	for _, tc := range []struct {
		filters map[string]map[string]bool
		want    []string
	}{
		{nil, []string{"", unnamed.String()}},
		{map[string]map[string]bool{"dangling": on("false")}, []string{"", unnamed.String()}},
		{map[string]map[string]bool{"label": on("none")}, nil},
		{map[string]map[string]bool{"until": on("24h")}, nil},
	} {
		var got []string
		report, err := s.Prune(t.Context(), tc.filters, true)
		for _, d := range report.ImagesDeleted {
			got = append(got, d.Untagged, d.Deleted)
		}
		if err != nil || !slices.Equal(got, tc.want) || (len(got) > 0) != (report.SpaceReclaimed >= 100_000) {
			t.Errorf("%v: %q %d %v", tc.filters, got, report.SpaceReclaimed, err)
		}
	}
	for _, bad := range []map[string]map[string]bool{{"x": on("y")}, {"dangling": on("maybe")}, {"until": on("1h", "2h")}, {"until": on("soon")}} {
		if _, err := s.Prune(t.Context(), bad, false); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if list, size, err := s.WouldRemove(t.Context(), unnamed.String(), false); err != nil || len(list) != 1 || size < 100_000 {
		t.Errorf("%v %d %v", list, size, err)
	}
	if _, _, err := s.WouldRemove(t.Context(), id.String(), false); !errdefs.IsConflict(err) {
		t.Error(err)
	}
	before := happened(t, bus)
	if _, err := s.Prune(t.Context(), nil, false); err != nil {
		t.Fatal(err)
	}
	release()
	report, err := s.Prune(t.Context(), map[string]map[string]bool{"dangling": on("false")}, false)
	if err != nil || len(report.ImagesDeleted) != 4 || report.SpaceReclaimed == 0 {
		t.Errorf("%+v %v", report, err)
	}
	if got := happened(t, bus)[len(before):]; len(got) != 7 || got[1] != "prune  " && got[1] != "prune" {
		t.Errorf("%q", got)
	}
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}
