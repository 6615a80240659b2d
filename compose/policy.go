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
	// parallelism is how many are replaced at a time, at least 1.
	parallelism int
	onFailure   string
}

// maxParallelism bounds what "all at once" is.
const maxParallelism = 1000

// check reads deploy.update_config of all services, and is an error when one
// asks for what there is not.
func (p plan) check() error {
	for name, s := range p.services {
		u := updateConfig(s)
		refuse := func(what string) error {
			return fmt.Errorf("service %s: --rolling cannot do deploy.update_config.%s", name, what)
		}
		switch {
		case u.FailureAction != "" && u.FailureAction != onFailurePause && u.FailureAction != onFailureContinue && u.FailureAction != onFailureRollback:
			return refuse(fmt.Sprintf("failure_action: %s: it is pause, continue or rollback", u.FailureAction))
		case u.MaxFailureRatio != 0:
			return refuse("max_failure_ratio: the first failure counts")
		case s.Deploy != nil && s.Deploy.RollbackConfig != nil:
			return fmt.Errorf("service %s: --rolling cannot do deploy.rollback_config: containers are rolled back one at a time, start-first", name)
		case u.Order != "" && u.Order != "start-first" && u.Order != "stop-first":
			return refuse(fmt.Sprintf("order: %s: it is start-first or stop-first", u.Order))
		}
	}
	return nil
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
	x.parallelism, x.onFailure = 1, onFailurePause
	if u.Parallelism != nil {
		x.parallelism = int(min(*u.Parallelism, maxParallelism))
		if x.parallelism == 0 { // all at once
			x.parallelism = maxParallelism
		}
	}
	if u.FailureAction != "" {
		x.onFailure = u.FailureAction
	}
	if x.patience == 0 {
		x.patience = defaultPatience
	}
	if s.StopGracePeriod != nil {
		x.drain = time.Duration(*s.StopGracePeriod)
	}
	return x, ""
}
