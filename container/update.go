package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/fault"
)

// Update changes limits and restart policy, at once if the container runs and
// in any case for later starts. All of u is done or nothing. Fields of u that
// are zero stay as they are.
func (s *Service) Update(ctx context.Context, ref string, u *container.UpdateConfig) (container.UpdateResponse, error) {
	resp := container.UpdateResponse{}
	var err error
	if resp.Warnings, err = s.checkUpdate(u); err != nil {
		return resp, err
	}
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return resp, err
	}
	defer e.release()
	r := e.record()
	if err := editable(r); err != nil {
		return resp, fmt.Errorf("Cannot update container %s: %w", e.id, err)
	}
	next := *r
	if next.HostConfig, err = updated(r.HostConfig, u); err != nil {
		return resp, fmt.Errorf("Cannot update container %s: %w", e.id, err)
	}
	if err := s.applyUpdate(context.WithoutCancel(ctx), e, &next, &u.Resources); err != nil {
		return resp, fmt.Errorf("Cannot update container %s: %w", e.id, err)
	}
	s.announce(&next, events.ActionUpdate)
	return resp, nil
}

// checkUpdate checks a request by itself and fits it to this host. The warnings
// are never nil.
func (s *Service) checkUpdate(u *container.UpdateConfig) ([]string, error) {
	if err := refuseUpdate(&u.Resources); err != nil {
		return []string{}, err
	}
	if err := validateUpdate(u); err != nil {
		return []string{}, err
	}
	warnings, err := fitHost(&u.Resources, s.sandboxes.Features())
	return append([]string{}, warnings...), err
}

// applyUpdate changes the limits of what runs, then the record; if that cannot
// be saved, the limits are what they were.
func (s *Service) applyUpdate(ctx context.Context, e *entry, next *Record, asked *container.Resources) error {
	undo := func() error { return nil }
	if limits := spec.Limits(next.HostConfig, asked); e.live != nil && limits != nil {
		back, err := e.live.box.Update(ctx, limits)
		switch {
		case err == nil:
			undo = back
		case !errdefs.IsFailedPrecondition(err): // it has just ended
			return err
		}
	}
	if err := fault.Point("container.update.applied"); err != nil {
		return errors.Join(err, undo())
	}
	if err := s.save(e, next); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

// refuseUpdate refuses fields that Docker's update silently leaves out.
func refuseUpdate(u *container.Resources) error {
	for field, set := range map[string]bool{
		"CgroupParent":         u.CgroupParent != "",
		"BlkioWeightDevice":    len(u.BlkioWeightDevice) > 0,
		"BlkioDeviceReadBps":   len(u.BlkioDeviceReadBps) > 0,
		"BlkioDeviceWriteBps":  len(u.BlkioDeviceWriteBps) > 0,
		"BlkioDeviceReadIOps":  len(u.BlkioDeviceReadIOps) > 0,
		"BlkioDeviceWriteIOps": len(u.BlkioDeviceWriteIOps) > 0,
		"CpuRealtimePeriod":    u.CPURealtimePeriod != 0,
		"CpuRealtimeRuntime":   u.CPURealtimeRuntime != 0,
		"Devices":              len(u.Devices) > 0,
		"DeviceCgroupRules":    len(u.DeviceCgroupRules) > 0,
		"DeviceRequests":       len(u.DeviceRequests) > 0,
		"MemorySwappiness":     u.MemorySwappiness != nil,
		"OomKillDisable":       u.OomKillDisable != nil,
		"Ulimits":              len(u.Ulimits) > 0,
	} {
		if set {
			return notImplemented("update: " + field)
		}
	}
	for field, set := range map[string]bool{
		"CpuCount":           u.CPUCount != 0,
		"CpuPercent":         u.CPUPercent != 0,
		"IOMaximumIOps":      u.IOMaximumIOps != 0,
		"IOMaximumBandwidth": u.IOMaximumBandwidth != 0,
	} {
		if set {
			return invalid("%s is only for Windows containers", field)
		}
	}
	return nil
}

// validateUpdate checks a request by itself.
func validateUpdate(u *container.UpdateConfig) error {
	alone := container.HostConfig{Resources: u.Resources, RestartPolicy: u.RestartPolicy}
	if alone.Memory == 0 && alone.MemorySwap > 0 {
		alone.MemorySwap = 0 // without a new limit, the old one counts
	}
	if _, err := validateResources(&alone); err != nil {
		return err
	}
	if u.RestartPolicy.Name == "" {
		if u.RestartPolicy.MaximumRetryCount != 0 {
			return invalid("invalid restart policy: a maximum retry count needs the name of a policy")
		}
		return nil
	}
	if err := container.ValidateRestartPolicy(u.RestartPolicy); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// updated is the host configuration with what u changes, by Docker's rules.
func updated(old *container.HostConfig, u *container.UpdateConfig) (*container.HostConfig, error) {
	h := *old
	// Memory without swap is what a container has where the kernel counts none.
	countsSwap := h.MemorySwap != 0 || h.Memory == 0
	switch {
	case u.NanoCPUs > 0 && h.CPUPeriod > 0:
		return nil, conflict("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set")
	case u.NanoCPUs > 0 && h.CPUQuota > 0:
		return nil, conflict("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set")
	case u.CPUPeriod > 0 && h.NanoCPUs > 0:
		return nil, conflict("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set")
	case u.CPUQuota > 0 && h.NanoCPUs > 0:
		return nil, conflict("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set")
	case u.Memory > h.MemorySwap && u.MemorySwap == 0 && h.MemorySwap != -1 && countsSwap:
		return nil, conflict("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
	case u.RestartPolicy.Name != "" && h.AutoRemove && !u.RestartPolicy.IsNone():
		return nil, conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
	}
	change(&h.BlkioWeight, u.BlkioWeight)
	change(&h.CPUShares, u.CPUShares)
	change(&h.NanoCPUs, u.NanoCPUs)
	change(&h.CPUPeriod, u.CPUPeriod)
	change(&h.CPUQuota, u.CPUQuota)
	change(&h.CpusetCpus, u.CpusetCpus)
	change(&h.CpusetMems, u.CpusetMems)
	change(&h.Memory, u.Memory)
	change(&h.MemorySwap, u.MemorySwap)
	change(&h.MemoryReservation, u.MemoryReservation)
	change(&h.PidsLimit, u.PidsLimit)
	if u.RestartPolicy.Name != "" {
		h.RestartPolicy = u.RestartPolicy
	}
	if h.Memory == 0 && h.MemorySwap > 0 {
		return nil, invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	}
	if h.Memory > 0 && h.MemorySwap > 0 && h.MemorySwap < h.Memory {
		return nil, invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	}
	return &h, nil
}

func change[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}
