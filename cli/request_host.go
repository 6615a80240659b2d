package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/pflag"
)

// hostConfig is the part of a request that concerns this host.
func (c *containerFlags) hostConfig(f *pflag.FlagSet) (*container.HostConfig, error) {
	restart, err := opts.ParseRestart(c.restart)
	if err != nil {
		return nil, err
	}
	if c.rm && !restart.IsNone() {
		return nil, errors.New("conflicting options: cannot specify both --restart and --rm")
	}
	if err := c.checkModes(); err != nil {
		return nil, err
	}
	security, unconfined, err := opts.Security(c.securityOpt.Values)
	if err != nil {
		return nil, err
	}
	storage, err := storageOpts(c.storageOpt.Values)
	if err != nil {
		return nil, err
	}
	resources, err := c.resources()
	if err != nil {
		return nil, err
	}
	host := &container.HostConfig{
		ContainerIDFile: c.cidfile,
		OomScoreAdj:     c.oomScoreAdj,
		AutoRemove:      c.rm,
		Privileged:      c.privileged,
		Links:           c.link.Values,
		PublishAllPorts: c.publishAll,
		DNS:             addrs(c.dns.Values),
		DNSSearch:       orEmpty(c.dnsSearch.Values),
		DNSOptions:      orEmpty(c.dnsOption.Values),
		ExtraHosts:      c.addHost.Values,
		VolumesFrom:     c.volumesFrom.Values,
		IpcMode:         container.IpcMode(c.ipc),
		NetworkMode:     container.NetworkMode(c.network.Mode()),
		PidMode:         container.PidMode(c.pid),
		UTSMode:         container.UTSMode(c.uts),
		UsernsMode:      container.UsernsMode(c.userns),
		CgroupnsMode:    container.CgroupnsMode(c.cgroupns),
		CapAdd:          c.capAdd.Values,
		CapDrop:         c.capDrop.Values,
		GroupAdd:        c.groupAdd.Values,
		RestartPolicy:   restart,
		SecurityOpt:     security,
		StorageOpt:      storage,
		ReadonlyRootfs:  c.readOnly,
		LogConfig:       container.LogConfig{Type: c.logDriver, Config: opts.PairsToMap(c.logOpt.Values)},
		VolumeDriver:    c.volumeDriver,
		Isolation:       container.Isolation(c.isolation),
		ShmSize:         int64(c.shmSize),
		Resources:       resources,
		Tmpfs:           tmpfs(c.tmpfs.Values),
		Sysctls:         c.sysctl.Values,
		Runtime:         c.runtime,
		Mounts:          c.mount.Values,
		Annotations:     c.annotation.Values,
	}
	if unconfined {
		host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
	}
	if f.Changed("init") {
		host.Init = &c.init
	}
	return host, nil
}

func (c *containerFlags) checkModes() error {
	switch {
	case !container.PidMode(c.pid).Valid():
		return errors.New("--pid: invalid PID mode")
	case !container.UTSMode(c.uts).Valid():
		return errors.New("--uts: invalid UTS mode")
	case !container.UsernsMode(c.userns).Valid():
		return errors.New("--userns: invalid USER mode")
	case !container.CgroupnsMode(c.cgroupns).Valid():
		return errors.New("--cgroupns: invalid CGROUP mode")
	case c.swappiness != -1 && (c.swappiness < 0 || c.swappiness > 100):
		return fmt.Errorf("invalid value: %d. Valid memory swappiness range is 0-100", c.swappiness)
	case c.logDriver == "none" && len(c.logOpt.Values) > 0:
		return errors.New("invalid logging opts for driver none")
	}
	return nil
}

func (c *containerFlags) resources() (container.Resources, error) {
	r := container.Resources{
		CgroupParent:         c.cgroupParent,
		Memory:               int64(c.memory),
		MemoryReservation:    int64(c.memoryReservation),
		MemorySwap:           int64(c.memorySwap.Bytes),
		MemorySwappiness:     &c.swappiness,
		OomKillDisable:       &c.oomKillDisable,
		NanoCPUs:             int64(c.cpus),
		CPUShares:            c.cpuShares,
		CPUPeriod:            c.cpuPeriod,
		CPUQuota:             c.cpuQuota,
		CPURealtimePeriod:    c.cpuRtPeriod,
		CPURealtimeRuntime:   c.cpuRtRuntime,
		CpusetCpus:           c.cpusetCpus,
		CpusetMems:           c.cpusetMems,
		PidsLimit:            &c.pidsLimit,
		BlkioWeight:          c.blkioWeight,
		BlkioWeightDevice:    c.blkioWeightDevice.Values,
		BlkioDeviceReadBps:   c.readBps.Values,
		BlkioDeviceWriteBps:  c.writeBps.Values,
		BlkioDeviceReadIOps:  c.readIOps.Values,
		BlkioDeviceWriteIOps: c.writeIOps.Values,
		Ulimits:              c.ulimit.List(),
		DeviceCgroupRules:    c.deviceRule.Values,
		Devices:              []container.DeviceMapping{},
		DeviceRequests:       c.gpus.Values,
	}
	var cdi []string
	for _, spec := range c.device.Values {
		if opts.IsCDIName(spec) {
			cdi = append(cdi, spec)
			continue
		}
		d, err := opts.ParseDevice(spec)
		if err != nil {
			return r, err
		}
		r.Devices = append(r.Devices, d)
	}
	if len(cdi) > 0 {
		r.DeviceRequests = append(r.DeviceRequests, container.DeviceRequest{Driver: "cdi", DeviceIDs: cdi})
	}
	return r, nil
}

// orEmpty makes an empty list of none: the daemon takes null for "as ever".
func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// tmpfs splits path[:options]; the options are the daemon's to judge.
func tmpfs(list []string) map[string]string {
	m := map[string]string{}
	for _, s := range list {
		path, options, _ := strings.Cut(s, ":")
		m[path] = options
	}
	return m
}

func storageOpts(list []string) (map[string]string, error) {
	for _, s := range list {
		if !strings.Contains(s, "=") {
			return nil, errors.New("invalid storage option")
		}
	}
	return opts.PairsToMap(list), nil
}
