package server

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/api"
)

// The stock client manages volumes.
func TestVolumes(t *testing.T) {
	_, hs := serve(t, nil, nil)
	cli := mobyClient(t, hs)
	made, err := cli.VolumeCreate(t.Context(), client.VolumeCreateOptions{Name: "data", Labels: map[string]string{"a": "b"}})
	if err != nil || made.Volume.Name != "data" || made.Volume.Scope != "local" || made.Volume.CreatedAt == "" {
		t.Fatalf("%+v, %v", made.Volume, err)
	}
	if got, err := cli.VolumeInspect(t.Context(), "data", client.VolumeInspectOptions{}); err != nil || got.Volume.Labels["a"] != "b" || !strings.HasSuffix(got.Volume.Mountpoint, "/data/_data") {
		t.Errorf("%+v, %v", got.Volume, err)
	}
	if _, err := cli.VolumeInspect(t.Context(), "none", client.VolumeInspectOptions{}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	list, err := cli.VolumeList(t.Context(), client.VolumeListOptions{Filters: client.Filters{}.Add("label", "a=b")})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := cli.VolumeList(t.Context(), client.VolumeListOptions{Filters: client.Filters{}.Add("nope", "x")}); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	anonymous, err := cli.VolumeCreate(t.Context(), client.VolumeCreateOptions{})
	if err != nil || len(anonymous.Volume.Name) != 64 {
		t.Errorf("%+v, %v", anonymous.Volume, err)
	}
	pruned, err := cli.VolumePrune(t.Context(), client.VolumePruneOptions{})
	if err != nil || len(pruned.Report.VolumesDeleted) != 1 || pruned.Report.VolumesDeleted[0] != anonymous.Volume.Name {
		t.Errorf("%+v, %v", pruned.Report, err)
	}
	if _, err := cli.VolumeRemove(t.Context(), "none", client.VolumeRemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
	if code, body, _ := do(t, hs, http.MethodPut, "/volumes/data", "{}"); code != http.StatusServiceUnavailable || !strings.Contains(body, "cluster volumes") {
		t.Errorf("%d %s", code, body)
	}
	// Before 1.42, those with names were pruned, too.
	if code, body, _ := do(t, hs, http.MethodPost, "/v1.41/volumes/prune", ""); code != http.StatusOK || !strings.Contains(body, `"data"`) {
		t.Errorf("%d %s", code, body)
	}
}

// What Berth adds.
func TestVolumesAdded(t *testing.T) {
	_, hs := serve(t, nil, nil)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, h := range []tar.Header{{Name: "./", Typeflag: tar.TypeDir, Mode: 0o750}, {Name: "./f", Size: 2, Mode: 0o600}} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, "hi"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	expect := func(code int, method, path, body string) string {
		t.Helper()
		got, text, _ := do(t, hs, method, path, body)
		if got != code {
			t.Errorf("%s %s: %d %s", method, path, got, text)
		}
		return text
	}
	expect(http.StatusCreated, http.MethodPut, "/volumes/one/archive", archive.String())
	expect(http.StatusConflict, http.MethodPut, "/volumes/one/archive", archive.String())
	expect(http.StatusBadRequest, http.MethodPut, "/volumes/bad/archive", strings.Repeat("not a tar", 1000))
	expect(http.StatusNotFound, http.MethodGet, "/volumes/bad", "")
	expect(http.StatusCreated, http.MethodPost, "/volumes/one/copy", `{"Name":"two"}`)
	expect(http.StatusBadRequest, http.MethodPost, "/volumes/one/copy", `{}`)
	r := tar.NewReader(strings.NewReader(expect(http.StatusOK, http.MethodGet, "/volumes/two/archive", "")))
	var names []string
	for h, err := r.Next(); err == nil; h, err = r.Next() {
		names = append(names, h.Name)
		if h.Name == "./" && h.Mode != 0o750 {
			t.Errorf("mode %o", h.Mode)
		}
	}
	if got := strings.Join(names, " "); got != "./ ./f" {
		t.Errorf("%q", got)
	}
	expect(http.StatusCreated, http.MethodPost, "/volumes/two/snapshots?snapshot=s1", "")
	var found []api.VolumeSnapshot
	if err := json.Unmarshal([]byte(expect(http.StatusOK, http.MethodGet, "/volumes/two/snapshots", "")), &found); err != nil || len(found) != 1 || found[0].Name != "s1" {
		t.Errorf("%+v, %v", found, err)
	}
	expect(http.StatusNoContent, http.MethodPost, "/volumes/two/restore?snapshot=s1", "")
	expect(http.StatusNotFound, http.MethodPost, "/volumes/two/restore?snapshot=s2", "")
	expect(http.StatusBadRequest, http.MethodPost, "/volumes/two/restore?snapshot=../x", "")
	expect(http.StatusNoContent, http.MethodDelete, "/volumes/two/snapshots?snapshot=s1", "")
}
