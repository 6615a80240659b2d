package server

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	engine "github.com/berth-engine/berth/container"
)

// TestCommit: what is asked for arrives, and a body may be absent, null, or say
// what the image is to say.
func TestCommit(t *testing.T) {
	for _, tc := range []struct {
		query, body string
		want        engine.CommitOptions
		user        string
		code        int
	}{
		{"container=c1", "", engine.CommitOptions{Pause: true}, "", 201},
		{"container=c1&repo=a&pause=0", "null", engine.CommitOptions{Name: "a:latest"}, "", 201},
		{
			"container=c1&repo=docker.io/library/a&tag=b&author=x&comment=y&changes=CMD+z&changes=USER+u", `{"User":"me"}`,
			engine.CommitOptions{Name: "a:b", Author: "x", Comment: "y", Pause: true, Changes: []string{"CMD z", "USER u"}},
			"me", 201,
		},
		{"container=c1&repo=A", "", engine.CommitOptions{}, "", 400},
		{"container=c1&repo=a&tag=-", "", engine.CommitOptions{}, "", 400},
		{"container=c1&repo=a@sha256:" + strings.Repeat("0", 64), "", engine.CommitOptions{}, "", 400},
		{"container=c1", "[", engine.CommitOptions{}, "", 400},
	} {
		c := &fakeContainers{}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/v1.47/commit?"+tc.query, strings.NewReader(tc.body))
		r.Header.Set("Content-Type", "application/json")
		New(Options{Containers: c}).ServeHTTP(w, r)
		if w.Code != tc.code {
			t.Errorf("%s: %d %s", tc.query, w.Code, w.Body)
		}
		if w.Code != 201 {
			continue
		}
		got := *c.committed
		user := ""
		if got.Config != nil {
			user = got.Config.User
		}
		got.Config = nil
		if !reflect.DeepEqual(got, tc.want) || user != tc.user || w.Body.String() != `{"Id":"sha256:made"}`+"\n" {
			t.Errorf("%s: %+v %q %s", tc.query, got, user, w.Body)
		}
	}
}
