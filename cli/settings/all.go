package settings

import (
	"errors"
	"fmt"

	helper "github.com/docker/docker-credential-helpers/client"
	"github.com/moby/moby/api/types/registry"
)

// All are the credentials of all servers that the file or a helper knows, by
// server.
func (f *File) All() (map[string]registry.AuthConfig, error) {
	servers := map[string]bool{}
	for server := range f.auths {
		servers[server] = true
	}
	for server := range f.CredHelpers {
		servers[server] = true
	}
	if f.CredsStore != "" {
		known, err := helper.List(program(f.CredsStore))
		if err != nil {
			return nil, fmt.Errorf("list the credentials of docker-credential-%s: %w", f.CredsStore, err)
		}
		for server := range known {
			servers[server] = true
		}
	}
	all := map[string]registry.AuthConfig{}
	var errs []error
	for server := range servers {
		c, err := f.Credentials(server)
		errs = append(errs, err)
		if c != (registry.AuthConfig{}) {
			all[server] = c
		}
	}
	return all, errors.Join(errs...)
}
