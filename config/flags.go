package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// newFlags declares every flag, bound to c.
func newFlags(c *Config) *pflag.FlagSet {
	fs := pflag.NewFlagSet("berthd", pflag.ContinueOnError)
	fs.Usage = func() {} // Load's caller prints it
	fs.SortFlags = true

	fs.StringArrayVarP(&c.Hosts, "host", "H", nil, "Listen on this address: unix://PATH, tcp://HOST:PORT, fd://[NAME] (default "+DefaultHost+")")
	fs.StringVarP(&c.Group, "group", "G", c.Group, "Group for unix sockets")
	fs.StringVar(&c.DataRoot, "data-root", c.DataRoot, "Directory of persistent state")
	fs.StringVar(&c.ExecRoot, "exec-root", c.ExecRoot, "Directory of execution state")
	fs.StringVarP(&c.Pidfile, "pidfile", "p", c.Pidfile, "File to write the daemon's process id to")
	fs.StringVar(&c.File, "config-file", c.File, "Configuration file")
	fs.BoolVarP(&c.Debug, "debug", "D", false, "Log at level debug")
	fs.StringVarP(&c.LogLevel, "log-level", "l", c.LogLevel, "Least level to log: debug, info, warn, error, fatal")
	fs.StringVar(&c.LogFormat, "log-format", c.LogFormat, "Form of the daemon's log: text, json")

	fs.StringArrayVar(&c.AuthzPlugins, "authorization-plugin", nil, "Plugin that has to allow each request")
	fs.StringVar(&c.MetricsAddr, "metrics-addr", "", "Serve metrics for Prometheus at /metrics on this address (HOST:PORT)")
	addFlagsOfContainers(fs, c)
	addFlagsOfNetworks(fs, c)
	addTristate(fs, &c.TLS, "tls", "Use TLS on TCP; --tls=false accepts a TCP address without it")
	addTristate(fs, &c.TLSVerify, "tlsverify", "Use TLS on TCP and demand a client certificate")
	fs.StringVar(&c.TLSCACert, "tlscacert", c.TLSCACert, "CA that client certificates must be signed by")
	fs.StringVar(&c.TLSCert, "tlscert", c.TLSCert, "TLS certificate file")
	fs.StringVar(&c.TLSKey, "tlskey", c.TLSKey, "TLS key file")

	fs.StringVarP(&c.StorageDriver, "storage-driver", "s", c.StorageDriver, "Storage driver: overlayfs")
	fs.StringArrayVar(&c.StorageOpts, "storage-opt", nil, "overlay2.size=SIZE: what a container that does not say otherwise may write (xfs or ext4 with project quotas)")
	fs.StringArrayVar(&c.RegistryMirrors, "registry-mirror", nil, "Mirror of docker.io to ask first (URL)")
	fs.StringArrayVar(&c.InsecureRegistries, "insecure-registry", nil, "Registry, or CIDR of registries, to be reached without verified TLS")
	fs.IntVar(&c.MaxDownloads, "max-concurrent-downloads", c.MaxDownloads, "Layers to download at the same time for one pull")
	fs.IntVar(&c.MaxUploads, "max-concurrent-uploads", c.MaxUploads, "Layers to upload at the same time for one push")
	fs.IntVar(&c.DownloadAttempts, "max-download-attempts", c.DownloadAttempts, "How often a download is tried")
	fs.Var(&c.CompactAfter, "image-compact-after", "How long images have not changed before unpacked layers are no longer kept compressed, too; 0s: never")
	fs.StringVar(&c.SignaturePolicy, "signature-policy", "", "File of rules about which images may come from registries (containers-policy.json)")
	fs.StringArrayVar(&c.RegistryDirs, "registry-config-dir", c.RegistryDirs, "Directory with one for each registry: hosts.toml, certificates")

	fs.StringVar(&c.PublishPolicy, "publish-policy", c.PublishPolicy, "Published ports: docker (they go round the host's input rules), host (those decide), loopback (127.0.0.1 unless an address is named)")

	fs.IntVar(&c.Prepared, "prepared", c.Prepared, "For how many containers processes and network namespaces are kept ready; 0: none")
	fs.StringVar(&c.CgroupParent, "cgroup-parent", c.CgroupParent, "Parent cgroup of all containers")
	fs.StringArrayVar(&c.ExecOpts, "exec-opt", nil, "native.cgroupdriver=cgroupfs or systemd: who makes control groups")
	fs.BoolVar(&c.Init, "init", c.Init, "Run an init in containers that do not say otherwise")
	fs.Var(&c.ShmSize, "default-shm-size", "Size of /dev/shm of containers that do not say otherwise")
	fs.Var(ulimits(c.Ulimits), "default-ulimit", "Ulimit of containers that do not say otherwise (NAME=SOFT[:HARD])")
	fs.StringVar(&c.SeccompProfile, "seccomp-profile", c.SeccompProfile, `File with the seccomp profile of new containers, or "builtin", or "unconfined"`)
	fs.BoolVar(&c.NoNewPrivileges, "no-new-privileges", c.NoNewPrivileges, "Set no-new-privileges for new containers")
	fs.StringVar(&c.UsernsRemap, "userns-remap", c.UsernsRemap, "USER[:GROUP] whose subordinate ids containers have, or default (dockremap)")
	fs.Var(runtimes(c.Runtimes), "add-runtime", "OCI runtime besides Berth's own (NAME=PATH)")
	fs.StringVar(&c.DefaultRuntime, "default-runtime", c.DefaultRuntime, "Runtime of containers that do not say otherwise")
	fs.StringArrayVar(&c.CDISpecDirs, "cdi-spec-dir", nil, "Directory of CDI specifications; none: /etc/cdi and /var/run/cdi")
	fs.StringVar(&c.LogDriver, "log-driver", c.LogDriver, "Log driver of containers that do not say otherwise")
	fs.Var(pairs(c.LogOpts), "log-opt", "Option of the default log driver")

	fs.StringArrayVar(&c.Labels, "label", nil, "Label of the daemon (KEY=VALUE)")
	fs.BoolVar(&c.LiveRestore, "live-restore", c.LiveRestore, "Containers outlive the daemon; cannot be switched off")
	fs.IntVar(&c.ShutdownTimeout, "shutdown-timeout", c.ShutdownTimeout, "Seconds for open requests to end at shutdown; negative: no limit")

	fs.BoolVar(&c.Validate, "validate", false, "Check the configuration and exit")
	fs.BoolVarP(&c.Version, "version", "v", false, "Print the version and exit")
	addRefused(fs)
	return fs
}

func addTristate(fs *pflag.FlagSet, p **bool, name, usage string) {
	fs.VarPF(tristate{p}, name, "", usage).NoOptDefVal = "true"
}

func usage(fs *pflag.FlagSet) string {
	var b strings.Builder
	b.WriteString("Usage: berthd [OPTIONS]\n\nThe Berth container engine.\n\nOptions:\n")
	b.WriteString(fs.FlagUsages())
	return b.String()
}

// keyOf names a flag's key in the file; "" if it has none.
func keyOf(flag string) string {
	switch flag {
	case "host", "label", "cdi-spec-dir", "authorization-plugin", "exec-opt", "storage-opt", "registry-mirror", "registry-config-dir", "log-opt", "default-ulimit":
		return flag + "s"
	case "add-runtime":
		return "runtimes"
	case "insecure-registry":
		return "insecure-registries"
	case "config-file", "validate", "version", "help":
		return ""
	}
	if k, ok := keysOfFlags[flag]; ok {
		return k
	}
	for i := range refusals {
		if refusals[i].flag == flag {
			return refusals[i].key
		}
	}
	return flag
}

// Flags are the daemon's flags with their defaults, for manual pages.
func Flags() *pflag.FlagSet { return newFlags(defaults()) }
