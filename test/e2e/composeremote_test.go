package e2e

import (
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	composeProject = "application/vnd.docker.compose.project"
	composeFile    = "application/vnd.docker.compose.file+yaml"
	composeEnv     = "application/vnd.docker.compose.envfile"
)

// artifact is an application in a registry: the text of its compose.yaml, and
// one file more of a media type with annotations.
type artifact struct {
	text, more, mediaType string
	annotations           map[string]string
}

// serve makes a registry that has the application under every name.
func (a artifact) serve(t *testing.T) *registry {
	r := newRegistry(t, 1)
	layers := []ocispec.Descriptor{r.add(t, composeFile, []byte(a.text))}
	if a.mediaType != "" {
		layer := r.add(t, a.mediaType, []byte(a.more))
		layer.Annotations = a.annotations
		layers = append(layers, layer)
	}
	r.manifest = marshal(t, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: composeProject,
		Config: r.add(t, ocispec.MediaTypeEmptyJSON, []byte("{}")), Layers: layers,
	})
	return r
}

// composeConfig runs `berth compose config` with the registry's application:
// itself, or included by one that is here. home is the user's folder.
func composeConfig(t *testing.T, home string, r *registry, include bool) (string, error) {
	t.Helper()
	bin, err := engine.Bin()
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(r.URL, "http://")
	file := "oci://" + r.name()
	if include {
		file = filepath.Join(home, "work", "compose.yaml")
		text := "include: [\"oci://" + r.name() + "\"]\nservices: {mine: {image: busybox}}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "berth"), "compose", "-p", "x", "-f", file, "--insecure-registry", host, "config")
	cmd.Dir = filepath.Join(home, "work")
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "BERTH_HOST=unix:///nowhere.sock", "DOCKER_CONFIG=" + filepath.Join(home, "docker")}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// outside lists the files below home that are not in the cache's folders for
// applications, each of which has the digest as its name.
func outside(t *testing.T, home string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(home, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(home, path)
		if err == nil && !e.IsDir() && !strings.HasPrefix(rel, ".cache/docker-compose/") {
			found = append(found, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// TestAttackComposeArtifact tries to write outside of the folder of a remote
// application by the names that its files give themselves (CVE-2025-62725).
func TestAttackComposeArtifact(t *testing.T) {
	const app = "services: {app: {image: busybox}}\n"
	names := []string{"../escaped", "../../../escaped", "/escaped", "a/../../escaped", "..", ".", "", `..\escaped`, "sub/escaped"}
	for _, kind := range []struct{ mediaType, key string }{{composeEnv, "com.docker.compose.envfile"}, {composeFile, "com.docker.compose.file"}} {
		for _, name := range names {
			a := artifact{app, "A=1\n", kind.mediaType, map[string]string{kind.key: name, "com.docker.compose.extends": "true"}}
			r := a.serve(t)
			for _, include := range []bool{false, true} {
				home := t.TempDir()
				if err := os.Mkdir(filepath.Join(home, "work"), 0o700); err != nil {
					t.Fatal(err)
				}
				out, err := composeConfig(t, home, r, include)
				if err == nil || !strings.Contains(out, "invalid OCI artifact") {
					t.Errorf("%s %q, included %v: %v, and it said: %s", kind.key, name, include, err, out)
				}
				want := []string(nil)
				if include {
					want = []string{"work/compose.yaml"}
				}
				if got := outside(t, home); !slices.Equal(got, want) {
					t.Errorf("%s %q: files %v", kind.key, name, got)
				}
				if left, _ := filepath.Glob(filepath.Join(home, ".cache/docker-compose/*")); len(left) > 0 {
					t.Errorf("%s %q: the refused application stays in the cache: %v", kind.key, name, left)
				}
			}
		}
	}
	if _, err := os.Lstat("/escaped"); err == nil {
		t.Error("/escaped was written")
	}
}

// TestComposeArtifact is the same way with names that are in order.
func TestComposeArtifact(t *testing.T) {
	a := artifact{"services: {app: {image: busybox, env_file: [app.env]}}\n", "WHAT=remote\n", composeEnv, map[string]string{"com.docker.compose.envfile": "app.env"}}
	r := a.serve(t)
	for _, include := range []bool{false, true} {
		home := t.TempDir()
		if err := os.Mkdir(filepath.Join(home, "work"), 0o700); err != nil {
			t.Fatal(err)
		}
		out, err := composeConfig(t, home, r, include)
		if err != nil || !strings.Contains(out, "WHAT: remote") {
			t.Errorf("included %v: %v\n%s", include, err, out)
		}
	}
}

// TestAttackComposeDigest has a registry call its application by a digest that
// leads elsewhere, or that is another's.
func TestAttackComposeDigest(t *testing.T) {
	a := artifact{text: "services: {app: {image: busybox}}\n"}
	for _, header := range []string{"sha256:../../../escaped", "sha256:" + strings.Repeat("/", 64), "../escaped:0"} {
		r := a.serve(t)
		inner := r.Config.Handler
		r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			inner.ServeHTTP(digestHeader{w, header}, req)
		})
		home := t.TempDir()
		if err := os.Mkdir(filepath.Join(home, "work"), 0o700); err != nil {
			t.Fatal(err)
		}
		out, err := composeConfig(t, home, r, false)
		if got := outside(t, home); len(got) > 0 {
			t.Errorf("%q: files %v (%v)\n%s", header, got, err, out)
		}
		if err == nil {
			t.Logf("%q: passed over", header)
		}
	}
}

// digestHeader answers with a Docker-Content-Digest of its own choice.
type digestHeader struct {
	http.ResponseWriter
	digest string
}

func (d digestHeader) WriteHeader(status int) {
	d.Header().Set("Docker-Content-Digest", d.digest)
	d.ResponseWriter.WriteHeader(status)
}

func (d digestHeader) Write(p []byte) (int, error) {
	d.Header().Set("Docker-Content-Digest", d.digest)
	return d.ResponseWriter.Write(p)
}
