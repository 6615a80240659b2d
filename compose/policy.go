package compose

import (
	"fmt"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

const (
	// defaultPatience is how long a new container may take to get ready.
	defaultPatience = 2 * time.Minute
	// defaultDrain is how long the connections of an old one may last, without a
	// word of the service's (stop_grace_period).
	defaultDrain = 10 * time.Second
)

// plan says how services want to be updated.
type plan struct {
	services types.Services
	patience time.Duration // 0: defaultPatience
}

// policy is how one service wants it.
type policy struct {
	delay    time.Duration // between two containers
	monitor  time.Duration // how long a new one must stay ready
	patience time.Duration
	drain    time.Duration
}

// newPlan reads deploy.update_config of all services, and is an error when one
// asks for what there is not.
func newPlan(services types.Services, patience time.Duration) (plan, error) {
	for name, s := range services {
		u := updateConfig(s)
		refuse := func(what string) error {
			return fmt.Errorf("service %s: --rolling cannot do deploy.update_config.%s", name, what)
		}
		switch {
		case u.Parallelism != nil && *u.Parallelism != 1:
			return plan{}, refuse(fmt.Sprintf("parallelism: %d: containers are replaced one at a time", *u.Parallelism))
		case u.FailureAction != "" && u.FailureAction != "pause":
			return plan{}, refuse(fmt.Sprintf("failure_action: %s: the container that failed is undone, and the update stops there (pause)", u.FailureAction))
		case u.MaxFailureRatio != 0:
			return plan{}, refuse("max_failure_ratio: the update stops at the first failure")
		case u.Order != "" && u.Order != "start-first" && u.Order != "stop-first":
			return plan{}, refuse(fmt.Sprintf("order: %s: it is start-first or stop-first", u.Order))
		}
	}
	return plan{services, patience}, nil
}

func updateConfig(s types.ServiceConfig) types.UpdateConfig {
	if s.Deploy == nil || s.Deploy.UpdateConfig == nil {
		return types.UpdateConfig{}
	}
	return *s.Deploy.UpdateConfig
}

// of is the policy for a container of the service, or why it is to be stopped
// before its successor starts. Two containers with one writable volume are what
// only the service's author can allow: a database would damage its files, or
// refuse.
func (p plan) of(service string, h *container.HostConfig, mounts []container.MountPoint) (policy, string) {
	s := p.services[service]
	u := updateConfig(s)
	if u.Order == "stop-first" {
		return policy{}, "deploy.update_config.order is stop-first"
	}
	if u.Order == "" {
		for _, m := range mounts {
			if m.RW && (m.Type == mount.TypeVolume || m.Type == mount.TypeBind) {
				return policy{}, fmt.Sprintf("both would write to %s; deploy.update_config.order: start-first allows it", m.Destination)
			}
		}
	}
	if h != nil && h.NetworkMode.IsHost() {
		return policy{}, "both would want the same ports of the host's network"
	}
	x := policy{delay: time.Duration(u.Delay), monitor: time.Duration(u.Monitor), patience: p.patience, drain: defaultDrain}
	if x.patience == 0 {
		x.patience = defaultPatience
	}
	if s.StopGracePeriod != nil {
		x.drain = time.Duration(*s.StopGracePeriod)
	}
	return x, ""
}
