package image

import (
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

func TestListInspectHistory(t *testing.T) {
	reg := newRegistry(t)
	index, err := oci.NewIndex(twoLayers(t, "a"),
		newImage(t, ocispec.Platform{OS: "linux", Architecture: "riscv64"}, ocispec.ImageConfig{}, newLayer(t, oci.Gzip, file("x", "y"))))
	if err != nil {
		t.Fatal(err)
	}
	id := reg.put("library/multi:latest", index)
	s, err := Open(t.Context(), Options{Root: t.TempDir(), Registries: Registries{Mirrors: map[string][]string{"docker.io": {reg.URL}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if lines := mustPull(t, s, "multi"); lines[0] != "latest: Pulling from library/multi" || lines[len(lines)-1] != "Status: Downloaded newer image for multi:latest" {
		t.Errorf("%q", lines)
	}
	if err := s.Tag(t.Context(), "multi", "other.example/a/b"); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context(), ListOptions{Manifests: true, SharedSize: true})
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	e := list[0]
	if e.ID != id.String() || strings.Join(e.RepoTags, " ") != "multi:latest other.example/a/b:latest" ||
		strings.Join(e.RepoDigests, " ") != "multi@"+id.String()+" other.example/a/b@"+id.String() ||
		e.Labels["mark"] != "a" || e.Size < 1000 || e.Containers != 0 || e.SharedSize != 0 || e.Descriptor.Digest != id || e.Created != 0 {
		t.Errorf("%s", toJSON(t, e))
	}
	if len(e.Manifests) != 2 || !e.Manifests[0].Available || e.Manifests[1].Available || e.Manifests[0].ImageData.Size.Unpacked == 0 {
		t.Errorf("%s", toJSON(t, e.Manifests))
	}
	one, err := s.Inspect(t.Context(), "multi", InspectOptions{})
	if err != nil || one.ID != id.String() || one.Architecture != "amd64" || one.Os != "linux" || one.Config.Cmd[0] != "/a" ||
		len(one.RootFS.Layers) != 2 || one.Created != "1970-01-01T00:00:00Z" || one.Size == 0 || one.Metadata.LastTagTime.IsZero() || one.GraphDriver.Name != "overlayfs" {
		t.Errorf("%s %v", toJSON(t, one), err)
	}
	one, err = s.Inspect(t.Context(), "multi", InspectOptions{Platform: &amd64})
	if err != nil || one.ID != index.Manifests[0].Descriptor.Digest.String() {
		t.Errorf("%s %v", toJSON(t, one), err)
	}
	if _, err := s.Inspect(t.Context(), "multi", InspectOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "riscv64"}}); !errdefs.IsNotFound(err) {
		t.Errorf("%v", err)
	}
	steps, err := s.History(t.Context(), "multi", nil)
	if err != nil || len(steps) != 2 || steps[0].ID != id.String() || steps[1].ID != "<missing>" || len(steps[0].Tags) != 2 || steps[0].Size == 0 {
		t.Errorf("%s %v", toJSON(t, steps), err)
	}
}

func TestFilters(t *testing.T) {
	s, _, _, _ := pulled(t, "mine:1", "team/app:v2")
	for name, c := range map[string]struct {
		filters map[string]map[string]bool
		tags    string // "-": no image
	}{
		"reference":       {map[string]map[string]bool{"reference": {"mine": true}}, "mine:1"},
		"pattern":         {map[string]map[string]bool{"reference": {"*/app:v*": true}}, "team/app:v2"},
		"no match":        {map[string]map[string]bool{"reference": {"nothing*": true}}, "-"},
		"label":           {map[string]map[string]bool{"label": {"mark=a": true}, "reference": {"mine": true}}, "mine:1"},
		"other label":     {map[string]map[string]bool{"label": {"mark=b": true}}, "-"},
		"without label":   {map[string]map[string]bool{"label!": {"mark": true}}, "-"},
		"without another": {map[string]map[string]bool{"label!": {"x": true}, "reference": {"mine": true}}, "mine:1"},
		"dangling":        {map[string]map[string]bool{"dangling": {"1": true}}, "-"},
		"until":           {map[string]map[string]bool{"until": {"1h": true}, "reference": {"mine": true}}, "mine:1"},
		"until 1969":      {map[string]map[string]bool{"until": {"-5": true}}, "-"},
		"before itself":   {map[string]map[string]bool{"before": {"mine:1": true}}, "-"},
	} {
		list, err := s.List(t.Context(), ListOptions{Filters: c.filters})
		got := "-"
		if len(list) > 0 {
			got = strings.Join(list[0].RepoTags, " ")
		}
		if err != nil || got != c.tags {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for _, bad := range []map[string]map[string]bool{
		{"nosuch": {"x": true}},
		{"dangling": {"maybe": true}},
		{"dangling": {"true": true, "false": true}},
		{"until": {"yesterday": true}},
		{"reference": {"[": true}},
	} {
		if _, err := s.List(t.Context(), ListOptions{Filters: bad}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := s.List(t.Context(), ListOptions{Filters: map[string]map[string]bool{"since": {"nosuch": true}}}); !errdefs.IsNotFound(err) {
		t.Errorf("since nosuch: %v", err)
	}
}

func TestTimestamp(t *testing.T) {
	now := time.Unix(1000, 0)
	for text, want := range map[string]time.Time{
		"10s": time.Unix(990, 0), "5": time.Unix(5, 0), "5.25": time.Unix(5, 250000000),
		"1970-01-01T00:00:07Z": time.Unix(7, 0),
	} {
		if got, err := timestamp(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
}

func TestTagRefusals(t *testing.T) {
	s, _, ref, id := pulled(t)
	for dst, want := range map[string]string{
		"a@" + id.String(): "refusing to create a tag with a digest reference",
		"sha256:1":         "refusing to create an ambiguous tag using digest algorithm as name",
		"UPPER":            "invalid reference format: repository name (library/UPPER) must be lowercase",
	} {
		if err := s.Tag(t.Context(), ref, dst); err == nil || err.Error() != want || !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", dst, err)
		}
	}
	if err := s.Tag(t.Context(), "nosuch", "a"); !errdefs.IsNotFound(err) {
		t.Errorf("%v", err)
	}
}
