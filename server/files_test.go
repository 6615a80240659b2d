package server

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

func TestArchive(t *testing.T) {
	c := &fakeContainers{tar: io.NopCloser(strings.NewReader("a tar"))}
	_, hs := serve(t, c, nil)
	cli := mobyClient(t, hs)
	got, err := cli.CopyFromContainer(t.Context(), "c1", client.CopyFromContainerOptions{SourcePath: "/x"})
	if err != nil || got.Stat.Name != "/x" {
		t.Fatalf("%+v, %v", got.Stat, err)
	}
	if b, err := io.ReadAll(got.Content); err != nil || string(b) != "a tar" {
		t.Errorf("%q, %v", b, err)
	}
	_ = got.Content.Close()
	if st, err := cli.ContainerStatPath(t.Context(), "c1", client.ContainerStatPathOptions{Path: "/y"}); err != nil || st.Stat.Name != "/y" {
		t.Errorf("%+v, %v", st, err)
	}
	_, err = cli.CopyToContainer(t.Context(), "c1", client.CopyToContainerOptions{DestinationPath: "/d", Content: strings.NewReader("body"), CopyUIDGID: true})
	if want := "extract c1/dbodytrue true"; err != nil || !slices.Contains(c.calls, want) {
		t.Errorf("%q, %v", c.calls, err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead} {
		if code, _, _ := do(t, hs, method, "/containers/c1/archive", ""); code != http.StatusBadRequest {
			t.Errorf("%s without a path: %d", method, code)
		}
	}
}

// A stream that breaks off must not look complete.
func TestArchiveBreaksOff(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, "half")
		_ = w.CloseWithError(errors.New("the disk is on fire"))
	}()
	_, hs := serve(t, &fakeContainers{tar: r}, nil)
	resp, err := hs.Client().Get(hs.URL + "/containers/c1/export")
	if err == nil {
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	if err == nil {
		t.Error("no error")
	}
}
