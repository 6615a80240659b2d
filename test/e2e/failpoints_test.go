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

// failPoints lists the points below a folder of the repository. Builds have some in
// the image store, too.
func failPoints(t *testing.T, folder string) []string {
	t.Helper()
	var points []string
	dirs := []string{folder}
	if folder == "build" {
		dirs = append(dirs, "image")
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			data, err := os.ReadFile(path)
			for _, m := range pointCall.FindAllStringSubmatch(string(data), -1) {
				if strings.HasPrefix(m[1], "build.") == (folder == "build") {
					points = append(points, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(points)
	return slices.Compact(points)
}

// restartFaulty starts a daemon again as one that is killed at a fail point; the error
// is its start's.
func restartFaulty(t *testing.T, d *engine.Daemon, point string, args ...string) error {
	t.Helper()
	bin, err := engine.Bin()
	if err == nil {
		err = d.Stop()
	}
	if err != nil {
		t.Fatal(err)
	}
	d.Bin = filepath.Join(bin, "faults")
	d.Setenv("BERTH_FAULT=" + point + "=kill")
	return d.Start(t.Context(), args...)
}

// startWhole starts the daemon after one that was killed at a fail point.
func startWhole(t *testing.T, d *engine.Daemon) {
	t.Helper()
	d.Bin = ""
	d.Setenv()
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestKilledAtEveryPoint kills the daemon at every fail point of a container's
// life. The next daemon tells the truth about what there is, what there is can
// be used and removed, and then nothing is left.
func TestKilledAtEveryPoint(t *testing.T) {
	points := failPoints(t, "container")
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
			var told string
			// The story passes every step of a life; some step meets the point.
			for _, step := range [][]string{
				{"run", "-d", "--name", "xx", "--stop-timeout", "0", "-p", "127.0.0.1::80", "busybox", "sleep", "1000"},
				{"rename", "xx", "yy"},
				{"rename", "yy", "xx"},
				{"update", "--pids-limit", "50", "xx"},
				{"pause", "xx"},
				{"unpause", "xx"},
				{"update", "-p", "127.0.0.1::81", "--mount", "type=tmpfs,target=/scratch", "--pids-limit", "60", "xx"},
				{"update", "-e", "A=1", "-p", "127.0.0.1::82", "--mount-rm", "/scratch", "xx"},
				{"!", "update", "-e", "A=2", "-v", "/etc/passwd:/bin", "xx"}, // which cannot be run
				{"stop", "-t", "0", "xx"},
				{"update", "-e", "A=3", "xx"},
				{"start", "xx"},
				{"rm", "-f", "xx"},
			} {
				fails := step[0] == "!"
				if fails {
					step = step[1:]
				}
				var err error
				if told, err = client(t, d, append([]string{"berth"}, step...)...); err != nil && (!fails || d.Died()) {
					break
				}
			}
			if !d.Died() {
				t.Fatalf("the daemon lives: no step of the story meets this point; the last said:\n%s", told)
			}
			startWhole(t, d)
			eventually(t, "the container to be as its record says", func() []string { return half(t, d, "xx") })
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

// half tells what a container that runs has otherwise than its record says:
// its environment, its mounts, its limit of processes, its ports. Nothing, if
// none runs under this name.
func half(t *testing.T, d *engine.Daemon, name string) []string {
	t.Helper()
	const says = "{{.State.Running}} {{.State.Pid}} {{len .HostConfig.PortBindings}} {{len .NetworkSettings.Ports}} {{len .Mounts}} {{range .Config.Env}}{{.}} {{end}}"
	out, err := client(t, d, "berth", "inspect", "-f", says, name)
	f := strings.Fields(out)
	if err != nil || len(f) < 5 || f[0] != "true" {
		return nil
	}
	var left []string
	environ, err := os.ReadFile("/proc/" + f[1] + "/environ")
	if err != nil {
		return []string{err.Error()}
	}
	for _, v := range f[5:] {
		if !strings.Contains("\x00"+string(environ), "\x00"+v+"\x00") {
			left = append(left, "the process has no "+v)
		}
	}
	if f[2] != f[3] {
		left = append(left, f[2]+" ports are asked for, "+f[3]+" are there")
	}
	mounts, err := os.ReadFile("/proc/" + f[1] + "/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	if has := strings.Contains(string(mounts), " /scratch "); has != (f[4] == "1") {
		left = append(left, "mounts in the record: "+f[4]+", in the container: "+string(mounts))
	}
	return left
}
