package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// Places in a container that is made with --use-api-socket, those of Docker's
// client.
const (
	socketInside = "/var/run/docker.sock"
	configInside = "/run/secrets/docker/config.json"
)

// lend gives a container the engine's socket, and returns the configuration with
// the user's credentials that it is to have; nil: there are none, or the
// container has a configuration of its own.
func (s *Session) lend(req *container.CreateRequest) (config []byte, err error) {
	socket, local := strings.CutPrefix(s.host, "unix://")
	if !local {
		// Nobody tells where it is on another machine: there it is where it is by default.
		socket = strings.TrimPrefix(defaultHost, "unix://")
	}
	req.HostConfig.Mounts = append(req.HostConfig.Mounts, mount.Mount{
		Type: mount.TypeBind, Source: socket, Target: socketInside, BindOptions: &mount.BindOptions{},
	})
	if slices.ContainsFunc(req.Env, func(e string) bool { return strings.HasPrefix(e, "DOCKER_CONFIG=") }) {
		return nil, nil
	}
	all, err := s.settings().All()
	if err != nil {
		return nil, fmt.Errorf("--use-api-socket: %w", err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	type auth struct {
		Auth          string `json:"auth,omitempty"`
		IdentityToken string `json:"identitytoken,omitempty"`
		RegistryToken string `json:"registrytoken,omitempty"`
	}
	auths := map[string]auth{}
	for server, c := range all {
		a := auth{IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken}
		if c.Username != "" || c.Password != "" {
			a.Auth = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
		}
		auths[server] = a
	}
	req.Env = append(req.Env, "DOCKER_CONFIG="+path.Dir(configInside))
	return json.Marshal(map[string]any{"auths": auths})
}

// handOver writes the configuration into a container. One that does not get it
// is removed: nobody asked for a container without.
func handOver(ctx context.Context, api *client.Client, id string, config []byte) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err := w.WriteHeader(&tar.Header{Name: configInside[1:], Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(config)), ModTime: time.Now()})
	if err == nil {
		_, err = w.Write(config)
	}
	if err = errors.Join(err, w.Close()); err == nil {
		_, err = api.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: &archive})
	}
	if err == nil {
		return nil
	}
	_, gone := api.ContainerRemove(context.WithoutCancel(ctx), id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	return errors.Join(fmt.Errorf("--use-api-socket: copy the credentials into the container: %w", err), gone)
}
