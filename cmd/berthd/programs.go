package main

import (
	"errors"
	"fmt"

	"github.com/berth-engine/berth/config"
	logdriver "github.com/berth-engine/berth/container/logs/driver"
	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/quota"
)

// programs are the paths of the helpers.
type programs struct{ sandbox, netd string }

// findPrograms finds them, and refuses settings that this host cannot have.
func findPrograms(cfg *config.Config) (p programs, err error) {
	if p.sandbox, err = helper("berth-sandbox"); err != nil {
		return p, err
	}
	if p.netd, err = helper("berth-netd"); err != nil {
		return p, err
	}
	if err := logdriver.Check(cfg.LogDriver, cfg.LogOpts); err != nil {
		return p, fmt.Errorf("log-driver and log-opts: %w", err)
	}
	if cfg.Slice() != "" && !cgroup.Systemd() {
		return p, errors.New("exec-opts: native.cgroupdriver=systemd: systemd does not run here")
	}
	return p, nil
}

// checkRootSize refuses a size of containers that no container could have.
func checkRootSize(cfg *config.Config) error {
	if cfg.RootSize() == 0 {
		return nil
	}
	if err := quota.Supported(cfg.DataRoot); err != nil {
		return fmt.Errorf("storage-opts: overlay2.size needs a data-root on xfs or ext4 with project quotas: %w", err)
	}
	return nil
}
