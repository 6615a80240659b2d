package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cli/opts"
)

// createFlags say how to create, beside what.
type createFlags struct {
	name, platform, pull string
	quiet, untrusted     bool
	useAPISocket         bool
}

func (o *createFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "Assign a name to the container")
	f.StringVar(&o.pull, "pull", "missing", `Pull image before running ("always", "missing", "never")`)
	f.BoolVar(&o.useAPISocket, "use-api-socket", false, "Bind mount Docker API socket and required auth")
	trustFlag(f, &o.untrusted)
	platformFlag(cmd, &o.platform, os.Getenv("DOCKER_DEFAULT_PLATFORM"))
}

func newCreate(s *Session) *cobra.Command {
	var (
		o createFlags
		c containerFlags
	)
	cmd := &cobra.Command{
		Use:         "create [OPTIONS] IMAGE [COMMAND] [ARG...]",
		Short:       "Create a new container",
		Args:        someArgs,
		Annotations: callable(0, "container create", "create"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.image, c.args = args[0], args[1:]
			return s.createOnly(cmd, &c, &o)
		},
		ValidArgsFunction: s.completeImages(1),
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress the pull output")
	o.add(cmd)
	c.add(f)
	completeContainerFlags(cmd, s)
	return cmd
}

func (s *Session) createOnly(cmd *cobra.Command, c *containerFlags, o *createFlags) error {
	api, req, err := s.prepare(cmd, c, o)
	if err != nil {
		return &statusError{125, &hintError{"create", err}}
	}
	id, err := s.create(cmd.Context(), api, req, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.IO.Out, id)
	return nil
}

// prepare turns the command line into a request; it fails on what the user
// wrote, before the daemon is asked.
func (s *Session) prepare(cmd *cobra.Command, c *containerFlags, o *createFlags) (*client.Client, *container.CreateRequest, error) {
	switch o.pull {
	case "always", "missing", "never", "":
	default:
		return nil, nil, fmt.Errorf(`invalid pull option: '%s': must be one of "always", "missing" or "never"`, o.pull)
	}
	if err := checkTrust(o.untrusted); err != nil {
		return nil, nil, err
	}
	if c.kernelMemory != 0 {
		fmt.Fprintln(s.IO.Err, "WARNING: --kernel-memory has no effect: kernels have no such limit since 5.16; --memory counts kernel memory, too")
	}
	api, err := s.client(cmd.Context())
	if err != nil {
		return nil, nil, err
	}
	c.env.Values = s.settings().ProxyEnv(s.host, c.env.Values)
	req, err := c.request(cmd.Flags())
	return api, req, err
}

// create makes a container, and pulls its image when the flags say so. The ID
// file is there before the container and goes again if creation fails.
func (s *Session) create(ctx context.Context, api *client.Client, req *container.CreateRequest, o *createFlags) (id string, err error) {
	var platform *ocispec.Platform
	if o.platform != "" {
		if platform, err = opts.ParsePlatform(o.platform); err != nil {
			return "", fmt.Errorf("error parsing specified platform: %w", err)
		}
	}
	ref, err := reference.ParseAnyReference(req.Image)
	if err != nil {
		return "", err
	}
	if path := req.HostConfig.ContainerIDFile; path != "" {
		done, err := newIDFile(path)
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, done(id)) }()
	}
	if o.pull == "always" {
		if err := s.pullFor(ctx, api, req.Image, platform, o.quiet); err != nil {
			return "", err
		}
	}
	var config []byte
	if o.useAPISocket {
		if config, err = s.lend(req); err != nil {
			return "", err
		}
	}
	rows, cols := s.IO.Size()
	req.HostConfig.ConsoleSize = [2]uint{rows, cols}
	call := client.ContainerCreateOptions{
		Config: req.Config, HostConfig: req.HostConfig, NetworkingConfig: req.NetworkingConfig,
		Platform: platform, Name: o.name,
	}
	resp, err := api.ContainerCreate(ctx, call)
	named, isName := ref.(reference.Named)
	if cerrdefs.IsNotFound(err) && isName && (o.pull == "missing" || o.pull == "") {
		if !o.quiet {
			fmt.Fprintf(s.IO.Err, "Unable to find image '%s' locally\n", reference.FamiliarString(reference.TagNameOnly(named)))
		}
		if err := s.pullFor(ctx, api, req.Image, platform, o.quiet); err != nil {
			return "", err
		}
		resp, err = api.ContainerCreate(ctx, call)
	}
	if err != nil {
		return "", err
	}
	s.warn(resp.Warnings, req.HostConfig)
	if config != nil {
		if err := handOver(ctx, api, resp.ID, config); err != nil {
			return "", err
		}
	}
	return resp.ID, nil
}

func (s *Session) warn(warnings []string, host *container.HostConfig) {
	for _, ip := range host.DNS {
		if ip.IsLoopback() {
			warnings = append(warnings, fmt.Sprintf("Localhost DNS (%s) may fail in containers.", ip))
			break
		}
	}
	for _, w := range warnings {
		fmt.Fprintln(s.IO.Err, "WARNING:", w)
	}
}

// pullFor pulls with its progress on the error stream: standard output is the
// container's.
func (s *Session) pullFor(ctx context.Context, api *client.Client, image string, p *ocispec.Platform, quiet bool) error {
	out := s.IO.Err
	if quiet {
		out = io.Discard
	}
	return s.pull(ctx, api, image, pullOptions{platform: p, out: out})
}

// newIDFile reserves the --cidfile. done writes the ID, or removes the file
// when there is none.
func newIDFile(path string) (done func(id string) error, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("container ID file found, make sure the other container isn't running or delete %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to create the container ID file: %w", err)
	}
	return func(id string) error {
		if id == "" {
			return errors.Join(f.Close(), os.Remove(path))
		}
		_, err := f.WriteString(id)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("failed to write the container ID (%s) to file: %w", id, err)
		}
		return nil
	}, nil
}
