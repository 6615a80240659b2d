package remote

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/registry"
)

// TestSearchSignsIn: an index that wants credentials with each request, and never
// asks for them, gets them; one that does not say so does not.
func TestSearchSignsIn(t *testing.T) {
	for _, c := range []struct {
		name, standalone, user string
		want                   string // who searched, with what
	}{
		{"it wants them", "true", "ann", "ann:secret"},
		{"it does not", "false", "ann", ":"},
		{"it does not say", "", "ann", ":"},
		{"there are none", "true", "", ":"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/v1/_ping":
					if c.standalone != "" {
						w.Header().Set("X-Docker-Registry-Standalone", c.standalone)
					}
					fmt.Fprint(w, "true")
				case "/v1/search":
					user, secret, _ := r.BasicAuth()
					fmt.Fprintf(w, `{"results": [{"name": %q}]}`, user+":"+secret)
				default:
					http.NotFound(w, r)
				}
			}))
			defer s.Close()
			auth := &registry.AuthConfig{Username: c.user}
			if c.user != "" {
				auth.Password = "secret"
			}
			client := New()
			defer client.Close()
			found, err := client.Search(t.Context(), Registries{}, strings.TrimPrefix(s.URL, "http://")+"/x", 5, auth)
			if err != nil || len(found) != 1 || found[0].Name != c.want {
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
}
