package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/leak"
)

// TestImagesKilledAtEveryPoint kills the daemon at every fail point of an image's
// life: pull, load, commit, compaction, removal, collection of garbage. What the
// next daemon lists is whole, can be run and saved; and when the story's images
// are removed nothing of them is left.
func TestImagesKilledAtEveryPoint(t *testing.T) {
	points := failPoints(t, "image")
	if len(points) < 10 {
		t.Fatalf("fail points: %q", points)
	}
	d := started(t)
	tar := filepath.Join(t.TempDir(), "made.tar")
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	clean := imageFiles(t, d)
	must(t, d, "berth", "run", "--name", "maker", "busybox", "sh", "-c", "seq 100000 > /numbers")
	must(t, d, "berth", "commit", "maker", "made:1")
	must(t, d, "berth", "save", "-o", tar, "made:1")
	must(t, d, "berth", "rm", "maker")
	must(t, d, "berth", "rmi", "made:1")
	var before leak.State
	eventually(t, "the image's files to be collected", func() []string {
		before = imageFiles(t, d)
		return layersBeside(before, clean)
	})
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			// One that collects garbage dies at its start.
			if err := restartFaulty(t, d, point, "--image-compact-after", "1ms"); err != nil && !d.Died() {
				t.Fatal(err)
			}
			var told string
			for _, step := range [][]string{
				{"load", "-i", tar},
				{"run", "--name", "xx", "made:1", "sh", "-c", "echo more > /more"},
				{"commit", "xx", "made:2"},
				{"rm", "xx"},
				{"run", "--rm", "made:2", "cat", "/more"},
				{"rmi", "made:1"},
				{"pull", "-q", "hello-world"},
				{"rmi", "hello-world", "made:2"},
			} {
				var err error
				if told, err = client(t, d, append([]string{"berth"}, step...)...); err != nil {
					break
				}
			}
			eventually(t, "the daemon to be killed, which said last:\n"+told, func() []string {
				if d.Died() {
					return nil
				}
				return []string{"it lives: no step of the story meets this point"}
			})
			startWhole(t, d)
			for name := range strings.FieldsSeq(must(t, d, "berth", "images", "--format", "{{.Repository}}:{{.Tag}}")) {
				must(t, d, "berth", "run", "--rm", name)
				must(t, d, "berth", "save", "-o", filepath.Join(t.TempDir(), "again.tar"), name)
			}
			must(t, d, "berth", "pull", "-q", "hello-world") // what came of a killed pull waits for the next
			for _, left := range [][]string{{"rm", "xx"}, {"rmi", "made:1"}, {"rmi", "made:2"}, {"rmi", "hello-world"}} {
				_, _ = client(t, d, append([]string{"berth"}, left...)...) // of some points there is less
			}
			must(t, d, "berth", "image", "prune", "-f")
			eventually(t, "nothing of the images to be left", func() []string {
				return leak.Diff(before, imageFiles(t, d))
			})
		})
	}
}

// layersBeside lists what of layers is there that was not before: a directory goes
// after what is in it.
func layersBeside(now, before leak.State) []string {
	return slices.DeleteFunc(slices.Clone(now["file"]), func(path string) bool {
		return !strings.Contains(path, "/overlay/snapshots/") || slices.Contains(before["file"], path)
	})
}

// imageFiles lists what the image store of a daemon has on disk.
func imageFiles(t *testing.T, d *engine.Daemon) leak.State {
	t.Helper()
	prefix := filepath.Join(d.DataRoot(), "image") + "/"
	return leak.State{"file": slices.DeleteFunc(engineState(t, d)["file"], func(path string) bool { return !strings.HasPrefix(path, prefix) })}
}
