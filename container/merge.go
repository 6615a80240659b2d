package container

import (
	"maps"
	"slices"
	"strings"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/container/health"
)

// merge is inherit for a container, which must have something to run.
func merge(request *container.Config, image dockerspec.DockerOCIImageConfig) (*container.Config, error) {
	c, err := inherit(request, image)
	if err == nil && len(c.Entrypoint)+len(c.Cmd) == 0 {
		return nil, invalid("no command specified")
	}
	return c, err
}

// inherit fills what the request leaves open with the image's defaults, by
// Docker's rules. Neither argument is changed.
func inherit(request *container.Config, image dockerspec.DockerOCIImageConfig) (*container.Config, error) {
	c := *request
	if c.User == "" {
		c.User = image.User
	}
	if c.WorkingDir == "" {
		c.WorkingDir = image.WorkingDir
	}
	if c.StopSignal == "" {
		c.StopSignal = image.StopSignal
	}
	if len(c.OnBuild) == 0 {
		c.OnBuild = image.OnBuild
	}
	if len(c.Shell) == 0 {
		c.Shell = image.Shell
	}
	c.Healthcheck = health.Merge(request.Healthcheck, image.Healthcheck)
	var err error
	if c.ExposedPorts, err = mergePorts(request.ExposedPorts, image.ExposedPorts); err != nil {
		return nil, err
	}
	c.Env = mergeEnv(request.Env, image.Env)
	c.Labels = maps.Clone(image.Labels)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	maps.Copy(c.Labels, request.Labels)
	c.Volumes = maps.Clone(image.Volumes)
	if len(request.Volumes) > 0 && c.Volumes == nil {
		c.Volumes = map[string]struct{}{}
	}
	maps.Copy(c.Volumes, request.Volumes)

	// An entrypoint of the request makes the image's command meaningless.
	if len(c.Entrypoint) == 0 {
		if len(c.Cmd) == 0 {
			c.Cmd = slices.Clone(image.Cmd)
		}
		if c.Entrypoint == nil {
			c.Entrypoint = slices.Clone(image.Entrypoint)
		}
	}
	// [""] means: no entrypoint, and not the image's either.
	if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" {
		c.Entrypoint = nil
	}
	return &c, nil
}

func mergePorts(request nettypes.PortSet, image map[string]struct{}) (nettypes.PortSet, error) {
	if len(request)+len(image) == 0 {
		return nil, nil
	}
	out := nettypes.PortSet{}
	for text := range image {
		r, err := nettypes.ParsePortRange(text)
		if err != nil {
			return nil, invalid("invalid exposed port of the image: %v", err)
		}
		for p := range r.All() {
			out[p] = struct{}{}
		}
	}
	maps.Copy(out, request)
	return out, nil
}

// mergeEnv adds the image's variables that the request does not set to the
// request's.
func mergeEnv(request, image []string) []string {
	out := slices.Clone(request)
	for _, v := range image {
		key, _, _ := strings.Cut(v, "=")
		set := slices.ContainsFunc(request, func(r string) bool {
			k, _, _ := strings.Cut(r, "=")
			return k == key
		})
		if !set {
			out = append(out, v)
		}
	}
	return out
}
