package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"
	moby "github.com/moby/moby/client"
)

// What probes need that is not there by itself.
const (
	recordedRuntime = `#!/bin/sh
# runc that keeps what it is told, by container
bundle= verb=
for a; do
	case $prev in --bundle | -b) bundle=$a ;; esac
	case $a in create) verb=create ;; --bundle=*) bundle=${a#*=} ;; esac
	prev=$a id=$a
done
[ "$verb" != create ] || cp "$bundle/config.json" "RECORDS/$id.json"
exec runc "$@"
`
	// gpuSpec describes two graphics processors.
	gpuSpec = `{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [
	{"name": "0", "containerEdits": {"env": ["GPU0=zero"]}}, {"name": "1", "containerEdits": {"env": ["GPU1=one"]}}]}`
)

// writeRuntime makes an OCI runtime that records what it is told in dir.
func writeRuntime(t *testing.T, dir string) (program string) {
	t.Helper()
	program = filepath.Join(dir, "recorded")
	if err := os.WriteFile(program, []byte(strings.ReplaceAll(recordedRuntime, "RECORDS", dir)), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return program
}

// prepare makes networks with somebody on them, another image, and a driver of
// volumes.
func (w *world) prepare(t *testing.T) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "probedriver")
	servePlugin(t, "probedriver", &volumeDriver{dir: dir, exists: map[string]map[string]string{}, mounts: map[string][]string{}})
	must(t, w.d, "berth", "network", "create", "--subnet", "10.213.7.0/24", "--ipv6", "--subnet", "fd13:7::/64", "probed")
	must(t, w.d, "berth", "network", "create", "--subnet", "10.213.8.0/24", "probed2")
	must(t, w.d, "berth", "run", "-d", "--name", "peer", "--network", "probed", "busybox", "sleep", "100000")
	must(t, w.d, "berth", "exec", "peer", "touch", "/from-image")
	must(t, w.d, "berth", "commit", "peer", "probed-image")
}

func (w *world) tidy(t *testing.T) {
	t.Helper()
	must(t, w.d, "berth", "rm", "-f", "peer")
	must(t, w.d, "berth", "network", "rm", "probed", "probed2")
	must(t, w.d, "berth", "rmi", "probed-image")
}

// onNetwork is a request for a network that somebody made.
func onNetwork(change func(*nettypes.EndpointSettings)) func(*request) {
	return func(r *request) {
		e := &nettypes.EndpointSettings{}
		if change != nil {
			change(e)
		}
		r.HostConfig.NetworkMode = "probed"
		r.NetworkingConfig.EndpointsConfig = map[string]*nettypes.EndpointSettings{"probed": e}
	}
}

// recorded is what the recording runtime was told.
func recorded(_ context.Context, w *world, id string) (string, error) {
	b, err := os.ReadFile(filepath.Join(w.records, id+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "it was made without this runtime", nil
	}
	return "recorded: " + string(b), err
}

// said is what logs answers, which may be an error.
func said(ctx context.Context, w *world, id string) (string, error) {
	out, err := w.output(ctx, id, false)
	if err != nil {
		return err.Error(), nil //nolint:nilerr // that is what is seen
	}
	return out, nil
}

// logFile is what the file of the log says when all is in it.
func logFile(ctx context.Context, w *world, id string) (string, error) {
	return await(ctx, w, id, func(i *container.InspectResponse) (string, bool) {
		b, err := os.ReadFile(i.LogPath)
		return string(b), i.LogPath == "" || err == nil && strings.Contains(string(b), "said")
	})
}

// restarts tells whether a container whose run has ended is started again.
func restarts(ctx context.Context, w *world, id string) (string, error) {
	i, err := w.ended(ctx, id)
	if err != nil {
		return "", err
	}
	if i.State.Status == container.StateExited {
		return "once", nil
	}
	return "again", nil
}

// retries counts restarts until the end for good.
func retries(ctx context.Context, w *world, id string) (string, error) {
	for {
		i, err := w.ended(ctx, id)
		if err != nil || i.State.Status == container.StateExited {
			return fmt.Sprint(i.RestartCount), err
		}
	}
}

// ended waits for the end of a run, and returns what was decided about the
// container then.
func (w *world) ended(ctx context.Context, id string) (i container.InspectResponse, err error) {
	wait := w.c.ContainerWait(ctx, id, moby.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-wait.Result:
	case err := <-wait.Error:
		return i, err
	}
	// An update waits until the end is settled, even one that changes nothing.
	if _, err := w.c.ContainerUpdate(ctx, id, moby.ContainerUpdateOptions{Resources: &container.Resources{}}); err != nil {
		return i, err
	}
	r, err := w.c.ContainerInspect(ctx, id, moby.ContainerInspectOptions{})
	return r.Container, err
}

// triggered builds on an image of the container and tells whether its trigger
// ran.
func triggered(_ context.Context, w *world, id string) (string, error) {
	base, built := "probed-base-"+id[:12], "probed-built-"+id[:12]
	out, err := w.shell(fmt.Sprintf(`set -e
berth commit %[1]s %[2]s >/dev/null
printf 'FROM %[2]s\n' | DOCKER_BUILDKIT=0 docker build -q -t %[3]s - >/dev/null
berth run --rm %[3]s ls -d /triggered 2>&1 || true
berth rmi %[3]s %[2]s >/dev/null`, id, base, built))
	return strings.ReplaceAll(out, id[:12], "ID"), err
}

// typed are two lines of a shell, one without and one with a field, whose effect
// is the client's.
func (w *world) typed(p *probe) (without, with string, err error) {
	if without, err = w.shell(p.typed[0]); err != nil {
		return "", "", fmt.Errorf("%s: %w: %s", p.typed[0], err, without)
	}
	if with, err = w.shell(p.typed[1]); err != nil {
		return "", "", fmt.Errorf("%s: %w: %s", p.typed[1], err, with)
	}
	return without, with, nil
}
