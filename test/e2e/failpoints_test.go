package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

var pointCall = regexp.MustCompile(`fault\.Point\("([a-z.\-]+)"\)`)

// failPoints lists the points below a folder of the repository.
func failPoints(t *testing.T, dir string) []string {
	t.Helper()
	var points []string
	err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		for _, m := range pointCall.FindAllStringSubmatch(string(data), -1) {
			points = append(points, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(points)
	return slices.Compact(points)
}

// TestKilledAtEveryPoint kills the daemon at every fail point of a container's
// life. The next daemon tells the truth about what there is, what there is can
// be used and removed, and then nothing is left.
func TestKilledAtEveryPoint(t *testing.T) {
	bin, err := engine.Bin()
	if err != nil {
		t.Fatal(err)
	}
	points := failPoints(t, "container")
	if len(points) == 0 {
		t.Fatal("no fail points found")
	}
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			if err := d.Stop(); err != nil {
				t.Fatal(err)
			}
			d.Bin = filepath.Join(bin, "faults")
			d.Setenv("BERTH_FAULT=" + point + "=kill")
			if err := d.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			var told string
			// The story passes every step of a life; some step meets the point.
			for _, step := range [][]string{
				{"run", "-d", "--name", "xx", "-p", "127.0.0.1::80", "busybox", "sleep", "1000"},
				{"rename", "xx", "yy"},
				{"rename", "yy", "xx"},
				{"update", "--pids-limit", "50", "xx"},
				{"pause", "xx"},
				{"unpause", "xx"},
				{"stop", "-t", "0", "xx"},
				{"start", "xx"},
				{"rm", "-f", "xx"},
			} {
				var err error
				if told, err = client(t, d, append([]string{"berth"}, step...)...); err != nil {
					break
				}
			}
			if !d.Died() {
				t.Fatalf("the daemon lives: no step of the story meets this point; the last said:\n%s", told)
			}
			d.Bin = ""
			d.Setenv()
			if err := d.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			states := strings.Fields(must(t, d, "berth", "ps", "-a", "--format", "{{.State}}"))
			for _, s := range states {
				switch s {
				case "created", "running", "exited":
				case "paused":
					must(t, d, "berth", "unpause", "xx")
				default:
					t.Errorf("a container is %s", s)
				}
			}
			if len(states) == 0 {
				must(t, d, "berth", "create", "--name", "xx", "busybox", "sleep", "1000")
			}
			must(t, d, "berth", "start", "xx")
			must(t, d, "berth", "rm", "-f", "xx")
			noLeak(t, d, before)
		})
	}
}
