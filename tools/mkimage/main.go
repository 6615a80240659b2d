// Command mkimage makes a small image from files and pushes it to a registry:
// the base images of tests and demonstrations, from what Debian installed.
//
//	mkimage --busybox http://127.0.0.1:5000/library/busybox:latest
//	mkimage --file ./app=/app --dir ./site=/srv --cmd /app http://HOST:PORT/NAME:TAG
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/berth-engine/berth/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
)

type options struct {
	busybox                                           string
	files, dirs, extra, env, cmd, entrypoint, volumes []string
	labels, ports                                     []string
	workdir, user, platform, compression              string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:           "mkimage [flags] http://HOST:PORT/NAME:TAG",
		Short:         "Make an image from files and push it",
		Args:          cobra.ExactArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, args []string) error {
			remote, tag, err := parseTarget(args[0])
			if err != nil {
				return err
			}
			image, err := o.image(c.Context())
			if err != nil {
				return err
			}
			if err := remote.Push(c.Context(), image, tag); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), image.Root().Descriptor.Digest)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.busybox, "busybox", "", "lay a root file system around this static busybox, with all its applets")
	f.Lookup("busybox").NoOptDefVal = "/bin/busybox"
	f.StringArrayVar(&o.files, "file", nil, "HOSTPATH=PATH: add a file; its mode is kept, its owner is root")
	f.StringArrayVar(&o.dirs, "dir", nil, "HOSTPATH=PATH: add a directory tree")
	f.StringArrayVar(&o.extra, "layer", nil, "HOSTPATH=PATH: add a directory tree as a layer of its own, above the others")
	f.StringArrayVar(&o.env, "env", nil, "NAME=VALUE")
	f.StringArrayVar(&o.cmd, "cmd", nil, "one word of the command; repeat")
	f.StringArrayVar(&o.entrypoint, "entrypoint", nil, "one word of the entrypoint; repeat")
	f.StringArrayVar(&o.volumes, "volume", nil, "declare a volume")
	f.StringArrayVar(&o.labels, "label", nil, "NAME=VALUE")
	f.StringArrayVar(&o.ports, "expose", nil, "PORT/PROTOCOL")
	f.StringVar(&o.workdir, "workdir", "", "working directory")
	f.StringVar(&o.user, "user", "", "user")
	f.StringVar(&o.platform, "platform", "linux/"+runtime.GOARCH, "OS/ARCHITECTURE")
	f.StringVar(&o.compression, "compression", "gzip", "gzip, zstd or none")
	return c
}

func parseTarget(s string) (oci.Remote, string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return oci.Remote{}, "", err
	}
	name, tag, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), ":")
	if u.Host == "" || name == "" || !ok {
		return oci.Remote{}, "", fmt.Errorf("%q: want http://HOST:PORT/NAME:TAG", s)
	}
	return oci.Remote{Registry: u.Scheme + "://" + u.Host, Repository: name}, tag, nil
}

func (o *options) image(ctx context.Context) (oci.Image, error) {
	goos, arch, ok := strings.Cut(o.platform, "/")
	if !ok {
		return oci.Image{}, fmt.Errorf("platform %q: want OS/ARCHITECTURE", o.platform)
	}
	trees, err := o.layers(ctx)
	if err != nil {
		return oci.Image{}, err
	}
	var layers []oci.Layer
	for _, entries := range trees {
		layer, err := oci.NewLayer(entries, oci.Compression(o.compression))
		if err != nil {
			return oci.Image{}, err
		}
		layers = append(layers, layer)
	}
	config := ocispec.ImageConfig{
		Env: o.env, Cmd: o.cmd, Entrypoint: o.entrypoint, WorkingDir: o.workdir, User: o.user,
		Labels: map[string]string{}, ExposedPorts: set(o.ports), Volumes: set(o.volumes),
	}
	for _, l := range o.labels {
		name, value, _ := strings.Cut(l, "=")
		config.Labels[name] = value
	}
	if len(config.Env) == 0 {
		config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	if o.busybox != "" && len(o.cmd) == 0 {
		config.Cmd = []string{"sh"}
	}
	return oci.NewImage(ocispec.Platform{OS: goos, Architecture: arch}, config, "COPY files / # buildkit", layers...)
}

func set(names []string) map[string]struct{} {
	if len(names) == 0 {
		return nil
	}
	m := map[string]struct{}{}
	for _, n := range names {
		m[n] = struct{}{}
	}
	return m
}
