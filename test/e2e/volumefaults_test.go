package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestVolumesKilledAtEveryPoint kills the daemon at every fail point of a
// volume's life. Volumes that the next daemon has are complete: their files are
// those of before or after what was interrupted, and nothing else lies around.
func TestVolumesKilledAtEveryPoint(t *testing.T) {
	points := failPoints(t, "volume")
	if len(points) == 0 {
		t.Fatal("no fail points found")
	}
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			if err := restartFaulty(t, d, point); err != nil {
				t.Fatal(err)
			}
			for _, step := range [][]string{
				{"volume", "create", "vol"},
				{"run", "--rm", "-v", "vol:/d", "busybox", "sh", "-c", "echo one >/d/f"},
				{"volume", "snapshot", "vol", "s1"},
				{"run", "--rm", "-v", "vol:/d", "busybox", "sh", "-c", "echo two >/d/f"},
				{"volume", "restore", "vol", "s1"},
				{"volume", "mv", "vol", "moved"},
				{"volume", "cp", "moved", "copied"},
				{"volume", "rm", "moved"},
				{"volume", "rm", "copied"},
			} {
				if _, err := client(t, d, append([]string{"berth"}, step...)...); err != nil {
					break
				}
			}
			if !d.Died() {
				t.Fatal("the daemon lives: no step of the story meets this point")
			}
			startWhole(t, d)
			names := strings.Fields(must(t, d, "berth", "volume", "ls", "-q"))
			entries, err := os.ReadDir(filepath.Join(d.DataRoot(), "volumes"))
			if err != nil {
				t.Fatal(err)
			}
			var dirs []string
			for _, e := range entries {
				dirs = append(dirs, e.Name())
			}
			if !slices.Equal(names, dirs) {
				t.Errorf("volumes %q, directories %q", names, dirs)
			}
			for _, name := range names {
				got := strings.TrimSpace(must(t, d, "berth", "run", "--rm", "-v", name+":/d", "busybox", "cat", "/d/f"))
				if got != "one" && got != "two" {
					t.Errorf("%s holds %q", name, got)
				}
				must(t, d, "berth", "volume", "rm", name)
			}
		})
	}
	noLeak(t, d, before)
}
