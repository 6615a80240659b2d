package server

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/api"
)

// A brief list is an array however many rows it has, and its rows are
// container.Summary to a client that knows nothing of it.
func TestListBrief(t *testing.T) {
	row := api.ContainerBrief{ID: "1", Names: []string{"/a"}, Image: "busybox", Command: "sh -c 'a < b'", State: container.StateRunning, Status: "Up 2 seconds"}
	other := row
	other.ID = "2"
	for _, rows := range [][]api.ContainerBrief{nil, {row}, {row, other}} {
		_, hs := serve(t, &fakeContainers{brief: rows}, nil)
		resp, err := http.Get(hs.URL + "/containers/json?all=1&brief=1")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		var got []container.Summary
		if err := json.Unmarshal(body, &got); err != nil || got == nil {
			t.Fatalf("%s: %v", body, err)
		}
		var ids, want []string
		for _, c := range got {
			ids = append(ids, c.ID)
		}
		for _, r := range rows {
			want = append(want, r.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("rows %v, want %v", ids, want)
		}
		if len(got) > 0 && (got[0].Command != row.Command || got[0].Status != row.Status || got[0].State != row.State) {
			t.Errorf("%+v", got[0])
		}
	}
}
