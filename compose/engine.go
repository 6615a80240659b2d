package compose

import (
	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/client"
)

// engine is the docker command's half of Compose with a client that Berth may
// stand in for: [rolling] while an update is under way.
type engine struct {
	*command.DockerCli
	rolling *rolling // nil: no
}

// Client is what Compose asks for each time it has something to say to the engine.
func (e *engine) Client() client.APIClient {
	if e.rolling != nil {
		return e.rolling
	}
	return e.DockerCli.Client()
}
