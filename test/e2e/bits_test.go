package e2e

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	hubregistry "github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/test/engine"
)

const bitsDockerfile = `FROM busybox
COPY base /base
RUN cp /base /copy-of-base
COPY app /app
RUN wc -c </app >/size
COPY last /last
`

// TestOnlyTheBits changes one line of one file of an image's source, and counts
// what is done again: by the build its steps, and by the Hub, in its own log, the
// bytes that it received and served.
func TestOnlyTheBits(t *testing.T) {
	d := started(t)
	ctx := filepath.Join(d.Dir, "context")
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(ctx, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(ctx, name), data, 0o644); err != nil { //nolint:gosec // a context
			t.Fatal(err)
		}
	}
	big := make([]byte, 1<<20)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	write("Dockerfile", []byte(bitsDockerfile))
	write("base", big)
	write("app", []byte("one line\n"))
	write("last", []byte("never changes\n"))
	name := hub.Addr + "/bits/app:"
	build := func(tag string) (ran, cached []string) {
		t.Helper()
		out, err := client(t, d, "berth", "build", "--progress", "rawjson", "--provenance=false", "-t", name+tag, ctx)
		if err != nil {
			t.Fatal(err, out)
		}
		return stepsOf(out)
	}
	must(t, d, "berth", "pull", "-q", "busybox")
	ran, _ := build("1")
	if len(ran) < 5 {
		t.Errorf("the first build ran only %q", ran)
	}
	must(t, d, "berth", "push", "-q", name+"1")
	one := manifest(t, "bits/app", "1")

	write("app", []byte("another line\n"))
	before := len(accesses(t))
	ran, cached := build("2")
	if asked := accesses(t)[before:]; len(asked) > 0 {
		t.Errorf("the base is here, and the registry was asked: %v", asked)
	}
	wantRan := []string{"[4/6] COPY app /app", "[5/6] RUN wc -c </app >/size", "[6/6] COPY last /last"}
	if !slices.Equal(ran, wantRan) {
		t.Errorf("after the change %q ran, want %q", ran, wantRan)
	}
	for _, step := range []string{"[2/6] COPY base /base", "[3/6] RUN cp /base /copy-of-base"} {
		if !slices.Contains(cached, step) {
			t.Errorf("%s was not taken from the cache, but %q", step, cached)
		}
	}
	two := pushTheBits(t, d, "bits/app", one)
	for i := range 3 {
		if one.Layers[i].Digest != two.Layers[i].Digest {
			t.Errorf("layer %d was made again", i)
		}
	}
	other := started(t)
	pullTheBits(t, other, "bits/app", one, two)
	must(t, other, "berth", "run", "--rm", name+"2", "grep", "another", "/app")
}

// pushTheBits pushes an image as 2 to the Hub, which has an earlier one: the Hub
// must receive the layers that are new, and the config, and nothing else.
func pushTheBits(t *testing.T, d *engine.Daemon, repository string, one ocispec.Manifest) ocispec.Manifest {
	t.Helper()
	before := len(accesses(t))
	must(t, d, "berth", "push", "-q", hub.Addr+"/"+repository+":2")
	pushed := accesses(t)[before:]
	two := manifest(t, repository, "2")
	want := two.Config.Size
	for _, l := range newLayers(one, two) {
		want += l.Size
	}
	var received int64
	for _, a := range pushed {
		if strings.Contains(a.Path, "/blobs/") {
			received += a.Received
		}
	}
	if received != want {
		t.Errorf("%s: the push moved %d bytes of blobs, want %d", repository, received, want)
	}
	return two
}

// pullTheBits has an engine pull both images, one after the other: of the second
// the Hub must send what is new, and nothing else.
func pullTheBits(t *testing.T, d *engine.Daemon, repository string, one, two ocispec.Manifest) {
	t.Helper()
	must(t, d, "berth", "pull", "-q", hub.Addr+"/"+repository+":1")
	before := len(accesses(t))
	must(t, d, "berth", "pull", "-q", hub.Addr+"/"+repository+":2")
	want := two.Config.Size
	served := map[digest.Digest]bool{two.Config.Digest: true}
	for _, l := range newLayers(one, two) {
		want += l.Size
		served[l.Digest] = true
	}
	var sent int64
	for _, a := range accesses(t)[before:] {
		_, blob, ok := strings.Cut(a.Path, "/blobs/")
		if !ok || a.Method != http.MethodGet {
			continue
		}
		sent += a.Sent
		if !served[digest.Digest(blob)] {
			t.Errorf("%s was pulled again", blob)
		}
	}
	if sent != want {
		t.Errorf("%s: the pull moved %d bytes of blobs, want %d", repository, sent, want)
	}
}

// newLayers are those of the second image that the first does not have; one of
// equal bytes is the same.
func newLayers(one, two ocispec.Manifest) (list []ocispec.Descriptor) {
	for _, l := range two.Layers {
		if !hasLayer(one, l) {
			list = append(list, l)
		}
	}
	return list
}

func hasLayer(m ocispec.Manifest, l ocispec.Descriptor) bool {
	return slices.ContainsFunc(m.Layers, func(o ocispec.Descriptor) bool { return o.Digest == l.Digest })
}

// stepsOf reads which steps of a Dockerfile a build did, and which it had.
func stepsOf(out string) (ran, cached []string) {
	type vertex struct {
		Name      string
		Cached    bool
		Completed string
	}
	state := map[string]bool{}
	for line := range strings.Lines(out) {
		var status struct{ Vertexes []vertex }
		if json.Unmarshal([]byte(line), &status) != nil {
			continue
		}
		for _, v := range status.Vertexes {
			if strings.HasPrefix(v.Name, "[") && !strings.HasPrefix(v.Name, "[internal]") && v.Completed != "" {
				state[v.Name] = state[v.Name] || v.Cached
			}
		}
	}
	for name, c := range state {
		if c {
			cached = append(cached, name)
		} else if !strings.Contains(name, "] FROM ") {
			ran = append(ran, name)
		}
	}
	slices.Sort(ran)
	slices.Sort(cached)
	return ran, cached
}

// manifest reads what the Hub has under a name.
func manifest(t *testing.T, repository, tag string) ocispec.Manifest {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+hub.Addr+"/v2/"+repository+"/manifests/"+tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest+", application/vnd.docker.distribution.manifest.v2+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m ocispec.Manifest
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || resp.StatusCode != http.StatusOK || len(m.Layers) == 0 {
		t.Fatal(resp.Status, err, m)
	}
	return m
}

// accesses reads the shared Hub's log.
func accesses(t *testing.T) []hubregistry.Access {
	t.Helper()
	return accessesOf(t, hub)
}

// accessesOf reads a Hub's log.
func accessesOf(t *testing.T, h *engine.Hub) []hubregistry.Access {
	t.Helper()
	f, err := os.Open(h.AccessLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []hubregistry.Access
	for s := bufio.NewScanner(f); s.Scan(); {
		var a hubregistry.Access
		if err := json.Unmarshal(s.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		list = append(list, a)
	}
	return list
}
