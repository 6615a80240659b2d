package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// startPeers starts the engines that are named ("docker,podman"), each private,
// with the image that ours has.
func startPeers(ctx context.Context, names string, own *own) (peers []*peer, err error) {
	starts := map[string]func(context.Context) (*peer, error){"docker": startBridged, "podman": startPodman}
	defer func() {
		if err != nil {
			for _, p := range peers {
				err = errors.Join(err, p.close())
			}
			peers = nil
		}
	}()
	tar := filepath.Join(own.dir, "peers.tar")
	for name := range strings.SplitSeq(names, ",") {
		if name == "" {
			continue
		}
		start := starts[name]
		if start == nil {
			return peers, fmt.Errorf("-private %s: it is docker or podman", name)
		}
		if _, err := os.Stat(tar); err != nil {
			if err := own.exportImage(ctx, tar); err != nil {
				return peers, err
			}
		}
		p, err := start(ctx)
		if err != nil {
			return peers, err
		}
		peers = append(peers, p)
		if err := p.command(ctx, p.cli, "import", tar, "busybox"); err != nil {
			return peers, err
		}
		p.name += p.version(ctx)
	}
	return peers, nil
}

// exportImage writes the root file system that all engines run.
func (o *own) exportImage(ctx context.Context, tar string) error {
	if err := o.command(ctx, o.cli, "create", "--name", "exported", "busybox", "true"); err != nil {
		return err
	}
	return errors.Join(o.command(ctx, o.cli, "export", "-o", tar, "exported"), o.command(ctx, o.cli, "rm", "exported"))
}

// version is a blank and the engine's version; empty if it does not say.
func (t *target) version(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, t.cli, "version", "-f", "{{.Server.Version}}")
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+t.host)
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return " " + strings.TrimSpace(string(out))
}
