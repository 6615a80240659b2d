package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// realBuild is an image as people make it, and a change of one line of its source.
type realBuild struct {
	name       string // in the Hub
	dockerfile string // "": the context has one
	dir        string // context
	files      map[string]string
	args       []string // of berth build
	shell      string   // the build runs below it: "ssh-agent sh -c …"; "": directly

	file, old, changed string   // the line
	ran                []string // steps that run after the change; all others are cached
	layers             int      // that are new after it
	run                []string // what is run of the image; "" as the first word: its own command
	first, second      string   // what that must print before and after
}

// TestRealBuilds makes images as people make them from Debian's packages and Go's
// modules: they are pushed to the Hub, changed by one line, built again, and pulled
// by another engine. Counted are the steps that run, the layers that are new, and
// the bytes that the Hub received and sent, by its own log.
func TestRealBuilds(t *testing.T) {
	needDebian(t)
	d := started(t)
	puller := started(t)
	must(t, d, "berth", "pull", "-q", "busybox")
	base := debianBase(t, d)
	t.Run("go", func(t *testing.T) { goBuild(t, d, puller) })
	t.Run("apt", func(t *testing.T) { aptBuild(t, d, puller, base) })
	t.Run("mounts", func(t *testing.T) { mountsBuild(t, d, puller) })
	t.Run("lamp", func(t *testing.T) { lampBuild(t, d, puller, base) })
}

// needDebian skips where there is no way out: not where there is one that does not
// lead to Debian.
func needDebian(t *testing.T) {
	t.Helper()
	routes, err := exec.CommandContext(t.Context(), "ip", "route", "show", "default").Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) == 0 {
		t.Skip("needs Debian's packages, and this host has no way out")
	}
}

// debianBase makes the image that others are built from, and gives its name.
func debianBase(t *testing.T, d *engine.Daemon) string {
	t.Helper()
	rootfs, err := filepath.Abs("../../.cache/examples/debian-12.tar")
	if err != nil {
		t.Fatal(err)
	}
	must(t, d, "../../tools/debian", rootfs)
	name := hub.Addr + "/examples/debian:12"
	must(t, d, "berth", "import", "-c", `CMD ["bash"]`, rootfs, name)
	must(t, d, "berth", "push", "-q", name)
	return name
}

// play builds, pushes, changes, builds and pushes again, and pulls.
func (b *realBuild) play(t *testing.T, d, puller *engine.Daemon) {
	t.Helper()
	for name, text := range b.files {
		b.write(t, name, text)
	}
	ran, _ := b.build(t, d, "1")
	for _, step := range b.ran {
		if !slices.Contains(ran, step) {
			t.Fatalf("the first build ran %q without %q", ran, step)
		}
	}
	all := len(ran)
	must(t, d, "berth", "push", "-q", hub.Addr+"/"+b.name+":1")
	one := manifest(t, b.name, "1")
	b.check(t, d, "1", b.first)

	text, err := os.ReadFile(filepath.Join(b.dir, b.file))
	if err != nil || bytes.Count(text, []byte(b.old)) != 1 {
		t.Fatalf("%s has no one line with %q: %v", b.file, b.old, err)
	}
	b.write(t, b.file, strings.Replace(string(text), b.old, b.changed, 1))
	ran, cached := b.build(t, d, "2")
	cached = slices.DeleteFunc(cached, func(step string) bool { return strings.Contains(step, "] FROM ") })
	if !slices.Equal(ran, b.ran) || len(ran)+len(cached) != all {
		t.Errorf("after the change %q ran, want %q; cached are %q of %d", ran, b.ran, cached, all)
	}
	two := pushTheBits(t, d, b.name, one)
	if n := len(newLayers(one, two)); n != b.layers || len(one.Layers) != len(two.Layers) {
		t.Errorf("%d of %d layers are new, want %d of %d", n, len(two.Layers), b.layers, len(one.Layers))
	}
	pullTheBits(t, puller, b.name, one, two)
	b.check(t, puller, "2", b.second)
	for _, e := range []*engine.Daemon{d, puller} {
		must(t, e, "berth", "rmi", hub.Addr+"/"+b.name+":1", hub.Addr+"/"+b.name+":2")
	}
}

func (b *realBuild) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // a context
		t.Fatal(err)
	}
}

func (b *realBuild) build(t *testing.T, d *engine.Daemon, tag string) (ran, cached []string) {
	t.Helper()
	args := append([]string{"berth", "build", "--progress", "rawjson", "--provenance=false", "-t", hub.Addr + "/" + b.name + ":" + tag}, b.args...)
	if b.dockerfile != "" {
		args = append(args, "-f", b.dockerfile)
	}
	args = append(args, b.dir)
	if b.shell != "" {
		args = []string{"ssh-agent", "sh", "-c", b.shell + " && " + quoted(args)}
	}
	out, err := client(t, d, args...)
	if err != nil {
		t.Fatal(err, tail(out, 40))
	}
	return stepsOf(out)
}

func quoted(args []string) string {
	var words []string
	for _, a := range args {
		words = append(words, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	return strings.Join(words, " ")
}

func (b *realBuild) check(t *testing.T, d *engine.Daemon, tag, want string) {
	t.Helper()
	out := must(t, d, append([]string{"berth", "run", "--rm", "--network", "none", hub.Addr + "/" + b.name + ":" + tag}, b.run...)...)
	if strings.TrimSpace(out) != want {
		t.Errorf("%s:%s says %q, want %q", b.name, tag, out, want)
	}
}

// gatewayListener listens on the address by which the engine's containers reach
// the host.
func gatewayListener(t *testing.T, d *engine.Daemon) (l net.Listener, port string) {
	t.Helper()
	gateway := strings.TrimSpace(must(t, d, "berth", "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(gateway, "0"))
	if err != nil {
		t.Fatal(err)
	}
	return l, fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
