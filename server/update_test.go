package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// A stock client's update is Docker's; a body with Edit, or dry-run, is more.
func TestUpdate(t *testing.T) {
	f := &fakeContainers{}
	_, hs := serve(t, f, nil)
	cli := mobyClient(t, hs)
	if _, err := cli.ContainerUpdate(t.Context(), "c", client.ContainerUpdateOptions{Resources: &container.Resources{Memory: 7}}); err != nil {
		t.Fatal(err)
	}
	if f.updated == nil || f.updated.Memory != 7 || f.edited != nil {
		t.Errorf("%+v, %+v", f.updated, f.edited)
	}
	body := `{"Memory":8,"Edit":{"Env":{"A":"1","B":null},"Publish":{"80/tcp":[{"HostPort":"8080"}]},"Binds":["v:/v"]}}`
	code, answer, _ := do(t, hs, http.MethodPost, "/containers/c/update", body)
	if code != http.StatusOK || !strings.Contains(answer, `"Changes":[{"Field":"env","New":"A=1","Effect":"recreate"}]`) {
		t.Errorf("%d %s", code, answer)
	}
	e := f.edited
	if e == nil || e.Memory != 8 || *e.Edit.Env["A"] != "1" || e.Edit.Env["B"] != nil || len(e.Edit.Env) != 2 || len(e.Edit.Publish) != 1 || len(e.Edit.Binds) != 1 {
		t.Errorf("%+v", e)
	}
	f.edited = nil
	if code, answer, _ = do(t, hs, http.MethodPost, "/containers/c/update?dry-run=1", `{"CpuShares":3}`); code != http.StatusOK || f.edited == nil || f.calls[len(f.calls)-1] != "edit c true" {
		t.Errorf("%d %s %q", code, answer, f.calls)
	}
}
