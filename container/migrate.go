package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	ctarchive "github.com/containerd/containerd/v2/pkg/archive"
	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/container/dockerroot"
	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/volume"
)

// MigrateDocker takes over images, volumes and containers from the data-root of
// a Docker engine that does not run. Nothing is changed there. What cannot be
// taken over is in the answer with the reason, and the rest goes on; what is
// here by the same name already is left alone.
//
// containerdRoot is where the containerd that Docker used keeps its things; ""
// where it usually is.
func (s *Service) MigrateDocker(ctx context.Context, dir, containerdRoot string) (_ api.Migration, err error) {
	out := api.Migration{Images: []api.Migrated{}, Volumes: []api.Migrated{}, Containers: []api.Migrated{}}
	root, err := dockerroot.Open(dir, containerdRoot)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	volumes, err := root.Volumes()
	if err != nil {
		return out, err
	}
	for i := range volumes {
		out.Volumes = append(out.Volumes, migrated(volumes[i].Name, "", s.migrateVolume(ctx, &volumes[i])))
	}
	images, failed, err := root.Images(ctx)
	if err != nil {
		return out, err
	}
	for name, err := range failed {
		out.Images = append(out.Images, migrated(name, "", err))
	}
	made := map[string]string{} // ours, by Docker's ID
	for i := range images {
		name, id, err := s.migrateImage(ctx, &images[i])
		made[images[i].ID] = id
		out.Images = append(out.Images, migrated(name, "", err))
	}
	containers, failed, err := root.Containers()
	if err != nil {
		return out, err
	}
	for name, err := range failed {
		out.Containers = append(out.Containers, migrated(name, "", err))
	}
	for i := range containers {
		note, err := s.migrateContainer(ctx, &containers[i], made)
		out.Containers = append(out.Containers, migrated(containers[i].Name, note, err))
	}
	return out, context.Cause(ctx)
}

func migrated(name, note string, err error) api.Migrated {
	m := api.Migrated{Name: name, Note: note}
	if err != nil {
		m.Error = err.Error()
	}
	return m
}

func (s *Service) migrateVolume(ctx context.Context, v *dockerroot.Volume) error {
	o := volume.CreateOptions{Name: v.Name, Labels: v.Labels}
	if len(v.Options) > 0 {
		if _, err := s.volumes.Get(v.Name); err == nil {
			return conflict("a volume of this name is here already")
		}
		o.Driver, o.Options = v.Driver, v.Options // its files are where its options say
		_, err := s.volumes.Create(ctx, o)
		return err
	}
	src, err := os.Open(v.Data)
	if err != nil {
		return err
	}
	defer src.Close()
	_, err = s.volumes.Fill(ctx, o, func(dst *os.File) error { return file.CopyTree(ctx, dst, src) })
	return err
}

// migrateContainer makes a container anew, not started, with what it had
// written.
func (s *Service) migrateContainer(ctx context.Context, c *dockerroot.Container, images map[string]string) (note string, err error) {
	config := *c.Config
	id := images[c.Image]
	if id == "" {
		img, err := s.images.Resolve(ctx, c.Image, nil)
		if err != nil {
			return "", fmt.Errorf("its image %s was not taken over", c.Image)
		}
		id = img.ID.String()
	}
	if img, err := s.images.Resolve(ctx, config.Image, nil); err != nil || img.ID.String() != id {
		config.Image = id // the name means another image by now
	}
	request := &container.CreateRequest{Config: &config, HostConfig: c.HostConfig}
	if len(c.Networks) > 0 && c.HostConfig.NetworkMode.IsUserDefined() {
		request.NetworkingConfig = &nettypes.NetworkingConfig{EndpointsConfig: c.Networks}
	}
	made, err := s.Create(ctx, CreateOptions{Name: c.Name, Request: request})
	if err != nil {
		return "", err
	}
	if c.Written.Dir != "" {
		if err := s.migrateFiles(ctx, made.ID, c); err != nil {
			return "", errors.Join(err, s.Remove(context.WithoutCancel(ctx), made.ID, RemoveOptions{}))
		}
	}
	for _, w := range made.Warnings {
		note += w + " "
	}
	return note, nil
}

// migrateFiles gives a container that was never started the files that it had
// written elsewhere, and the marks of those that it had removed.
func (s *Service) migrateFiles(ctx context.Context, id string, c *dockerroot.Container) error {
	e, err := s.findLocked(ctx, id)
	if err != nil {
		return err
	}
	defer e.release()
	img, err := s.imageOf(ctx, e)
	if err != nil {
		return err
	}
	layers, err := s.images.Rootfs(ctx, img)
	if err != nil {
		return err
	}
	defer layers.Release()
	r, w := io.Pipe()
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		var err error
		if c.Written.Whole {
			err = ctarchive.WriteDiff(ctx, w, c.Began, c.Written.Dir)
		} else {
			_, err = s.packLayer(ctx, w, c.Written.Dir, layers.Lower)
		}
		_ = w.CloseWithError(err) // never fails
	}()
	_, err = ctarchive.Apply(ctx, filepath.Join(s.records.dir(id), upperDir), r, ctarchive.WithConvertWhiteout(ctarchive.OverlayConvertWhiteout))
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the end of the tar
	}
	_ = r.CloseWithError(err) // never fails
	<-packed
	return err
}
