package container

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/container/archive"
	"github.com/berth-engine/berth/container/dockerfile"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/mount"
)

// CommitOptions describe the image that a container is made into.
type CommitOptions struct {
	Name            string // "": none
	Author, Comment string
	// Pause stops the container's processes meanwhile, so that its files fit
	// together.
	Pause bool
	// Config is what the image is to say; what it leaves open comes from the
	// container. Nil: all of it.
	Config  *container.Config
	Changes []string // lines of a Dockerfile, applied to Config
}

// Commit makes an image of the container's image and one layer with what the
// container has changed, and returns the image's ID. What is mounted in the
// container is not part of it. The upper directory is read as it is: nothing
// is mounted over it, and no process of the container can redirect the walk.
func (s *Service) Commit(ctx context.Context, ref string, o CommitOptions) (string, error) {
	e, use, ctx, err := s.holdFiles(ctx, ref)
	if err != nil {
		return "", err
	}
	defer e.copies.end(use)
	r := e.record()
	config := o.Config
	if config == nil {
		config = r.Config
	}
	if config, err = dockerfile.Apply(config, o.Changes); err != nil {
		return "", err
	}
	if config, err = inherit(config, ImageConfig(r.Config)); err != nil {
		return "", err
	}
	resume, err := s.still(ctx, e, o.Pause)
	if err != nil {
		return "", err
	}
	defer resume()
	base, err := s.lockedImageOf(ctx, e)
	if err != nil {
		return "", err
	}
	id, err := s.images.Commit(ctx, image.CommitOptions{
		Base: base, Config: ImageConfig(config), Name: o.Name, Author: o.Author, Comment: o.Comment,
		CreatedBy: strings.Join(r.Config.Cmd, " "), Created: s.clock.now(), Platform: &r.Image.Platform,
		Layer: func(ctx context.Context, w io.Writer) (int, error) {
			return s.writeLayer(ctx, e, base, &moving{w: w, use: use, now: s.clock.now})
		},
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("commit %s: %w", ref, cause)
	}
	if err != nil {
		return "", err
	}
	s.announce(r, events.ActionCommit, "comment", o.Comment, "imageID", id.String(), "imageRef", o.Name)
	return id.String(), nil
}

// holdFiles begins a use of the container's own files, without a mount. A
// removal ends it, a start waits for it.
func (s *Service) holdFiles(ctx context.Context, ref string) (*entry, *copying, context.Context, error) {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return nil, nil, nil, err
	}
	defer e.release()
	switch state := e.record().State; state {
	case Removing:
		return nil, nil, nil, conflict("You cannot commit container %s which is being removed", e.id)
	case Dead:
		return nil, nil, nil, conflict("You cannot commit container %s which is Dead", e.id)
	case Created, Starting, Running, Paused, Stopping, Exited, Restarting:
	}
	ctx, use := e.copies.add(ctx, nil, s.clock.now(), func() {})
	return e, use, ctx, nil
}

// still pauses a container that runs, if wanted, and returns what undoes it.
func (s *Service) still(ctx context.Context, e *entry, wanted bool) (resume func(), err error) {
	nothing := func() {}
	if !wanted || e.record().State != Running {
		return nothing, nil
	}
	if err := s.Pause(ctx, e.id); err != nil {
		if errdefs.IsConflict(err) && e.record().State != Running {
			return nothing, nil // it has ended, or somebody else has paused it
		}
		return nothing, err
	}
	return func() {
		if err := s.wake(context.WithoutCancel(ctx), e); err != nil {
			s.log.Warn("cannot unpause a container after a commit", "container", e.id, "err", err)
		}
	}, nil
}

func (s *Service) lockedImageOf(ctx context.Context, e *entry) (*image.Image, error) {
	if err := e.acquire(ctx); err != nil {
		return nil, err
	}
	defer e.release()
	return s.imageOf(ctx, e)
}

// writeLayer writes what the container changed as a layer on its image.
func (s *Service) writeLayer(ctx context.Context, e *entry, base *image.Image, w io.Writer) (int, error) {
	upper, lower, done, err := s.openChanges(ctx, e, base)
	if err != nil {
		return 0, err
	}
	defer done()
	return archive.Layer(ctx, w, upper, lower, s.remapOf(e.record()).fromHost)
}

// openChanges opens the directory with what the container wrote, and the
// image's root.
func (s *Service) openChanges(ctx context.Context, e *entry, img *image.Image) (upper, lower *os.File, done func(), err error) {
	layers, err := s.images.Rootfs(ctx, img)
	if err != nil {
		return nil, nil, nil, err
	}
	var u undo
	defer func() {
		if err != nil {
			u.run(context.Background())
		}
	}()
	u.push(func(context.Context) { layers.Release() })
	if upper, err = os.Open(s.upperOf(e.id)); err != nil {
		return nil, nil, nil, err
	}
	u.push(func(context.Context) { s.report(e.id, upper.Close()) })
	root, err := mount.Overlay(mount.Layers{Lower: layers.Lower, IDMap: s.remapOf(e.record()).Namespace()})
	if err != nil {
		return nil, nil, nil, err
	}
	u.push(func(context.Context) { s.report(e.id, root.Close()) })
	if lower, err = mount.OpenInRoot(root, "/", os.O_RDONLY, 0); err != nil {
		return nil, nil, nil, err
	}
	u.push(func(context.Context) { s.report(e.id, lower.Close()) })
	return upper, lower, func() { u.run(context.Background()) }, nil
}

// ImageConfig is what an image can say of a container's configuration.
func ImageConfig(c *container.Config) dockerspec.DockerOCIImageConfig {
	ports := map[string]struct{}{}
	for p := range c.ExposedPorts {
		ports[p.String()] = struct{}{}
	}
	return dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User: c.User, ExposedPorts: ports, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Volumes: c.Volumes,
			WorkingDir: c.WorkingDir, Labels: c.Labels, StopSignal: c.StopSignal, ArgsEscaped: c.ArgsEscaped, //nolint:staticcheck // Windows's, kept
		},
		DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{Healthcheck: c.Healthcheck, OnBuild: c.OnBuild, Shell: c.Shell},
	}
}
