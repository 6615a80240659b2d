package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/leak"
)

// pointed is a build that passes every point; each is another one.
const pointed = `FROM busybox
ARG ROUND
RUN echo $ROUND > /round
ADD some.tar /some
CMD ["cat", "/round", "/some/file"]
`

// TestBuildsKilledAtEveryPoint kills the daemon at every fail point of a build. The
// next one has no step, mount or context of it any more before anybody builds; then
// it builds the same, and when that and the cache are removed nothing is left.
func TestBuildsKilledAtEveryPoint(t *testing.T) {
	points := failPoints(t, "build")
	if len(points) < 7 {
		t.Fatalf("fail points: %q", points)
	}
	d := started(t)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("Dockerfile", pointed)
	write("file", "unpacked\n")
	if out, err := exec.CommandContext(t.Context(), "tar", "-C", dir, "-cf", filepath.Join(dir, "some.tar"), "file").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	build := func(round string) (string, error) {
		return client(t, d, "DOCKER_BUILDKIT=0", "docker", "build", "-t", "pointed", "--build-arg", "ROUND="+round, dir)
	}
	prune := func() {
		t.Helper()
		_, _ = client(t, d, "berth", "rmi", "-f", "pointed") // at some points it is not there
		must(t, d, "berth", "builder", "prune", "-af")
		must(t, d, "berth", "image", "prune", "-f")
	}
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	clean := imageFiles(t, d)
	if out, err := build("first"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	prune()
	before := idle(t, d)
	var images leak.State
	eventually(t, "the build's files to be collected", func() []string {
		images = imageFiles(t, d)
		return layersBeside(images, clean)
	})
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			if err := restartFaulty(t, d, point); err != nil {
				t.Fatal(err)
			}
			out, _ := build(point)
			if !d.Died() {
				t.Fatalf("the daemon lives: the build does not meet this point:\n%s", out)
			}
			startWhole(t, d)
			eventually(t, "nothing of the build but its cache to be left", func() []string {
				var left []string
				for _, what := range []string{"contexts", "steps", "tmp"} {
					list, err := filepath.Glob(filepath.Join(d.DataRoot(), "build", what, "*"))
					if err != nil {
						t.Fatal(err)
					}
					left = append(left, list...)
				}
				for _, kind := range []string{"mount", "process"} {
					left = append(left, leak.Diff(leak.State{kind: before[kind]}, leak.State{kind: engineState(t, d)[kind]})...)
				}
				return left
			})
			if out, err := build(point); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if out := must(t, d, "berth", "run", "--rm", "pointed"); out != point+"\nunpacked\n" {
				t.Errorf("it is %q", out)
			}
			prune()
			eventually(t, "nothing of the images to be left", func() []string { return leak.Diff(images, imageFiles(t, d)) })
			if list := must(t, d, "berth", "builder", "du", "--format", "{{.ID}}"); strings.TrimSpace(list) != "" {
				t.Errorf("the cache has %s", list)
			}
		})
	}
}
