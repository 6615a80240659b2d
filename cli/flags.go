package cli

import (
	"time"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/spf13/pflag"
)

// containerFlags are the flags that run and create share: what the container
// is to be.
type containerFlags struct {
	image string
	args  []string

	attach, env, envFile, label, labelFile                         opts.List
	volume, tmpfs, volumesFrom, publish, expose                    opts.List
	dns, dnsSearch, dnsOption, addHost, link, alias, linkLocalIP   opts.List
	device, deviceRule, capAdd, capDrop, groupAdd                  opts.List
	securityOpt, storageOpt, logOpt                                opts.List
	sysctl, annotation                                             opts.Map
	mount                                                          opts.Mounts
	network                                                        opts.Networks
	gpus                                                           opts.GPUs
	ulimit                                                         opts.Ulimits
	blkioWeightDevice                                              opts.Weights
	readBps, writeBps, readIOps, writeIOps                         opts.Rates
	memory, memoryReservation, kernelMemory, shmSize               opts.Bytes
	memorySwap                                                     opts.SwapBytes
	cpus                                                           opts.CPUs
	entrypoint, hostname, domainname, user, workdir                string
	stopSignal, restart, cidfile, cgroupParent, runtime, isolation string
	pid, uts, ipc, userns, cgroupns                                string
	ip, ip6, mac, logDriver, volumeDriver, cpusetCpus, cpusetMems  string
	interactive, tty, readOnly, privileged, publishAll, rm, init   bool
	oomKillDisable, noHealthcheck                                  bool
	stopTimeout, oomScoreAdj, healthRetries                        int
	cpuShares, cpuPeriod, cpuQuota, cpuRtPeriod, cpuRtRuntime      int64
	swappiness, pidsLimit                                          int64
	blkioWeight                                                    uint16
	healthCmd                                                      string
	healthInterval, healthTimeout, healthStart, healthStartEvery   time.Duration
}

func (c *containerFlags) add(f *pflag.FlagSet) {
	c.addGeneral(f)
	c.addNetwork(f)
	c.addStorage(f)
	c.addSecurity(f)
	c.addResources(f)
	c.addHealth(f)
	// -h is the host name here, so --help has no short form.
	f.Bool("help", false, "Print usage")
}

func (c *containerFlags) addGeneral(f *pflag.FlagSet) {
	c.attach.Check = opts.CheckAttach
	c.env.Check = opts.CheckEnv
	c.label.Check = opts.CheckLabel
	c.sysctl.Check = opts.CheckSysctl
	f.VarP(&c.attach, "attach", "a", "Attach to STDIN, STDOUT or STDERR")
	f.Var(&c.annotation, "annotation", "Add an annotation to the container (passed through to the OCI runtime)")
	f.StringVar(&c.cidfile, "cidfile", "", "Write the container ID to the file")
	f.StringVar(&c.domainname, "domainname", "", "Container NIS domain name")
	f.StringVar(&c.entrypoint, "entrypoint", "", "Overwrite the default ENTRYPOINT of the image")
	f.VarP(&c.env, "env", "e", "Set environment variables")
	f.Var(&c.envFile, "env-file", "Read in a file of environment variables")
	f.StringVarP(&c.hostname, "hostname", "h", "", "Container host name")
	f.BoolVar(&c.init, "init", false, "Run an init inside the container that forwards signals and reaps processes")
	f.BoolVarP(&c.interactive, "interactive", "i", false, "Keep STDIN open even if not attached")
	f.VarP(&c.label, "label", "l", "Set meta data on a container")
	f.Var(&c.labelFile, "label-file", "Read in a line delimited file of labels")
	f.StringVar(&c.logDriver, "log-driver", "", "Logging driver for the container")
	f.Var(&c.logOpt, "log-opt", "Log driver options")
	f.StringVar(&c.restart, "restart", "no", "Restart policy to apply when a container exits")
	f.BoolVar(&c.rm, "rm", false, "Automatically remove the container and its associated anonymous volumes when it exits")
	f.StringVar(&c.runtime, "runtime", "", "Runtime to use for this container")
	f.StringVar(&c.stopSignal, "stop-signal", "", "Signal to stop the container")
	f.IntVar(&c.stopTimeout, "stop-timeout", 0, "Timeout (in seconds) to stop a container")
	f.Var(&c.sysctl, "sysctl", "Sysctl options")
	f.BoolVarP(&c.tty, "tty", "t", false, "Allocate a pseudo-TTY")
	f.StringVarP(&c.user, "user", "u", "", "Username or UID (format: <name|uid>[:<group|gid>])")
	f.StringVarP(&c.workdir, "workdir", "w", "", "Working directory inside the container")
}

func (c *containerFlags) addNetwork(f *pflag.FlagSet) {
	c.addHost.Check = opts.CheckHostEntry
	c.dns.Check = opts.CheckIP
	c.dnsSearch.Check = opts.CheckDomain
	c.link.Check = opts.CheckLink
	c.linkLocalIP.Check = opts.CheckIP
	f.Var(&c.addHost, "add-host", "Add a custom host-to-IP mapping (host:ip)")
	f.Var(&c.dns, "dns", "Set custom DNS servers")
	f.Var(&c.dnsOption, "dns-option", "Set DNS options")
	f.Var(&c.dnsSearch, "dns-search", "Set custom DNS search domains")
	f.Var(&c.expose, "expose", "Expose a port or a range of ports")
	f.StringVar(&c.ip, "ip", "", "IPv4 address (e.g., 172.30.100.104)")
	f.StringVar(&c.ip6, "ip6", "", "IPv6 address (e.g., 2001:db8::33)")
	f.Var(&c.link, "link", "Add link to another container")
	f.Var(&c.linkLocalIP, "link-local-ip", "Container IPv4/IPv6 link-local addresses")
	f.StringVar(&c.mac, "mac-address", "", "Container MAC address (e.g., 92:d0:c6:0a:29:33)")
	f.Var(&c.network, "network", "Connect a container to a network")
	f.Var(&c.alias, "network-alias", "Add network-scoped alias for the container")
	f.VarP(&c.publish, "publish", "p", "Publish a container's port(s) to the host")
	f.BoolVarP(&c.publishAll, "publish-all", "P", false, "Publish all exposed ports to random ports")
	// Names of old, which still work.
	f.Var(&c.dnsOption, "dns-opt", "Set DNS options")
	f.Var(&c.network, "net", "Connect a container to a network")
	f.Var(&c.alias, "net-alias", "Add network-scoped alias for the container")
	for _, name := range []string{"dns-opt", "net", "net-alias"} {
		_ = f.MarkHidden(name)
	}
}

func (c *containerFlags) addStorage(f *pflag.FlagSet) {
	f.Var(&c.mount, "mount", "Attach a filesystem mount to the container")
	f.BoolVar(&c.readOnly, "read-only", false, "Mount the container's root filesystem as read only")
	f.Var(&c.shmSize, "shm-size", "Size of /dev/shm")
	f.Var(&c.storageOpt, "storage-opt", "Storage driver options for the container")
	f.Var(&c.tmpfs, "tmpfs", "Mount a tmpfs directory")
	f.VarP(&c.volume, "volume", "v", "Bind mount a volume")
	f.StringVar(&c.volumeDriver, "volume-driver", "", "Optional volume driver for the container")
	f.Var(&c.volumesFrom, "volumes-from", "Mount volumes from the specified container(s)")
}

func (c *containerFlags) addSecurity(f *pflag.FlagSet) {
	f.Var(&c.capAdd, "cap-add", "Add Linux capabilities")
	f.Var(&c.capDrop, "cap-drop", "Drop Linux capabilities")
	f.StringVar(&c.cgroupns, "cgroupns", "", `Cgroup namespace to use (host|private)
'host':    Run the container in the host's cgroup namespace
'private': Run the container in its own private cgroup namespace
'':        Use the cgroup namespace as configured by the
           default-cgroupns-mode option on the daemon (default)`)
	f.Var(&c.groupAdd, "group-add", "Add additional groups to join")
	f.StringVar(&c.ipc, "ipc", "", "IPC mode to use")
	f.StringVar(&c.isolation, "isolation", "", "Container isolation technology")
	f.StringVar(&c.pid, "pid", "", "PID namespace to use")
	f.BoolVar(&c.privileged, "privileged", false, "Give extended privileges to this container")
	f.Var(&c.securityOpt, "security-opt", "Security Options")
	f.StringVar(&c.userns, "userns", "", "User namespace to use")
	f.StringVar(&c.uts, "uts", "", "UTS namespace to use")
}

func (c *containerFlags) addResources(f *pflag.FlagSet) {
	c.deviceRule.Check = opts.CheckDeviceRule
	c.readIOps.IOps, c.writeIOps.IOps = true, true
	f.Uint16Var(&c.blkioWeight, "blkio-weight", 0, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
	f.Var(&c.blkioWeightDevice, "blkio-weight-device", "Block IO weight (relative device weight)")
	f.StringVar(&c.cgroupParent, "cgroup-parent", "", "Optional parent cgroup for the container")
	f.Int64Var(&c.cpuPeriod, "cpu-period", 0, "Limit CPU CFS (Completely Fair Scheduler) period")
	f.Int64Var(&c.cpuQuota, "cpu-quota", 0, "Limit CPU CFS (Completely Fair Scheduler) quota")
	f.Int64Var(&c.cpuRtPeriod, "cpu-rt-period", 0, "Limit CPU real-time period in microseconds")
	f.Int64Var(&c.cpuRtRuntime, "cpu-rt-runtime", 0, "Limit CPU real-time runtime in microseconds")
	f.Int64VarP(&c.cpuShares, "cpu-shares", "c", 0, "CPU shares (relative weight)")
	f.Var(&c.cpus, "cpus", "Number of CPUs")
	f.StringVar(&c.cpusetCpus, "cpuset-cpus", "", "CPUs in which to allow execution (0-3, 0,1)")
	f.StringVar(&c.cpusetMems, "cpuset-mems", "", "MEMs in which to allow execution (0-3, 0,1)")
	f.Var(&c.device, "device", "Add a host device to the container")
	f.Var(&c.deviceRule, "device-cgroup-rule", "Add a rule to the cgroup allowed devices list")
	f.Var(&c.readBps, "device-read-bps", "Limit read rate (bytes per second) from a device")
	f.Var(&c.readIOps, "device-read-iops", "Limit read rate (IO per second) from a device")
	f.Var(&c.writeBps, "device-write-bps", "Limit write rate (bytes per second) to a device")
	f.Var(&c.writeIOps, "device-write-iops", "Limit write rate (IO per second) to a device")
	f.Var(&c.gpus, "gpus", "GPU devices to add to the container ('all' to pass all GPUs)")
	f.Var(&c.kernelMemory, "kernel-memory", "Kernel memory limit (of old kernels; without effect)")
	f.VarP(&c.memory, "memory", "m", "Memory limit")
	f.Var(&c.memoryReservation, "memory-reservation", "Memory soft limit")
	f.Var(&c.memorySwap, "memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap")
	f.Int64Var(&c.swappiness, "memory-swappiness", -1, "Tune container memory swappiness (0 to 100)")
	f.BoolVar(&c.oomKillDisable, "oom-kill-disable", false, "Disable OOM Killer")
	f.IntVar(&c.oomScoreAdj, "oom-score-adj", 0, "Tune host's OOM preferences (-1000 to 1000)")
	f.Int64Var(&c.pidsLimit, "pids-limit", 0, "Tune container pids limit (set -1 for unlimited)")
	f.Var(&c.ulimit, "ulimit", "Ulimit options")
}

func (c *containerFlags) addHealth(f *pflag.FlagSet) {
	f.StringVar(&c.healthCmd, "health-cmd", "", "Command to run to check health")
	f.DurationVar(&c.healthInterval, "health-interval", 0, "Time between running the check (ms|s|m|h) (default 0s)")
	f.IntVar(&c.healthRetries, "health-retries", 0, "Consecutive failures needed to report unhealthy")
	f.DurationVar(&c.healthStartEvery, "health-start-interval", 0, "Time between running the check during the start period (ms|s|m|h) (default 0s)")
	f.DurationVar(&c.healthStart, "health-start-period", 0, "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)")
	f.DurationVar(&c.healthTimeout, "health-timeout", 0, "Maximum time to allow one check to run (ms|s|m|h) (default 0s)")
	f.BoolVar(&c.noHealthcheck, "no-healthcheck", false, "Disable any container-specified HEALTHCHECK")
}
