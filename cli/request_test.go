package cli

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/spf13/pflag"

	"github.com/berth-engine/berth/test/golden"
)

func request(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var c containerFlags
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	f.SetInterspersed(false)
	c.add(f)
	if err := f.Parse(args); err != nil {
		return "", err
	}
	c.image, c.args = f.Arg(0), f.Args()[1:]
	req, err := c.request(f)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	return out.String() + "\n", nil
}

// TestRequests fixes what goes over the wire for command lines that between
// them use every flag.
func TestRequests(t *testing.T) {
	env := writeFile(t, "env", "FILE=1\n# no\n")
	labels := writeFile(t, "labels", "from.file=yes\n")
	for name, args := range map[string][]string{
		"plain": {"img"},
		"process": {
			"-it", "-e", "A=b", "--env-file", env, "-l", "x=y", "--label-file", labels, "-u", "1:2", "-w", "/w", "-h", "host",
			"--domainname", "d", "--entrypoint", "/e", "--init", "--stop-signal", "INT", "--stop-timeout", "3", "--restart", "on-failure:2",
			"--log-driver", "local", "--log-opt", "max-size=1m", "--runtime", "r", "--annotation", "a=b", "--sysctl", "net.ipv4.ip_forward=1",
			"--cidfile", "/id", "-a", "STDIN", "-a", "stdout", "img", "cmd", "-x",
		},
		"network": {
			"-p", "127.0.0.1:8080:80", "-p", "53:53/udp", "-P", "--expose", "90-91", "--dns", "8.8.8.8", "--dns-search", "x.org", "--dns-option", "ndots:1",
			"--add-host", "h:1.2.3.4", "--network", "name=n,alias=q", "--ip", "10.0.0.2", "--ip6", "fd00::2", "--link", "c:l", "--link-local-ip", "169.254.0.9",
			"--mac-address", "92:d0:c6:0a:29:33", "--network", "m", "img",
		},
		"storage": {
			"-v", "/a:/b:ro", "-v", "/a:/b:ro", "-v", "/anon", "-v", "vol:/v", "--mount", "type=tmpfs,dst=/t", "--tmpfs", "/tmp:size=1m", "--read-only",
			"--shm-size", "1g", "--storage-opt", "size=1G", "--volume-driver", "d", "--volumes-from", "c:ro", "img",
		},
		"security": {
			"--cap-add", "NET_ADMIN", "--cap-drop", "ALL", "--cgroupns", "host", "--group-add", "g", "--ipc", "host", "--isolation", "default", "--pid", "container:x",
			"--privileged", "--security-opt", "no-new-privileges", "--security-opt", "systempaths=unconfined", "--userns", "host", "--uts", "host", "--rm", "img",
		},
		"resources": {
			"--blkio-weight", "100", "--blkio-weight-device", "/dev/a:10", "--cgroup-parent", "/p", "--cpu-period", "1", "--cpu-quota", "2", "--cpu-rt-period", "3",
			"--cpu-rt-runtime", "4", "-c", "5", "--cpus", "1.5", "--cpuset-cpus", "0-1", "--cpuset-mems", "0", "--device", "/dev/a:/dev/b:r", "--device", "v.com/c=all",
			"--device-cgroup-rule", "c 1:3 r", "--device-read-bps", "/dev/a:1k", "--device-read-iops", "/dev/a:1", "--device-write-bps", "/dev/a:1k",
			"--device-write-iops", "/dev/a:1", "--gpus", "all", "-m", "1g", "--memory-reservation", "1m", "--memory-swap", "-1", "--memory-swappiness", "50",
			"--oom-kill-disable", "--oom-score-adj", "5", "--pids-limit", "10", "--ulimit", "nofile=1:2", "img",
		},
		"health": {
			"--health-cmd", "true", "--health-interval", "1s", "--health-retries", "2", "--health-start-interval", "3s", "--health-start-period", "4s",
			"--health-timeout", "5s", "img",
		},
		"entrypoint-cleared": {"--entrypoint=", "--no-healthcheck", "--network", "none", "img"},
	} {
		got, err := request(t, args...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden.Compare(t, "request-"+name+".golden", got)
	}
}

func TestBadRequests(t *testing.T) {
	for want, args := range map[string][]string{
		"--pid: invalid PID mode":                                                                         {"--pid", "x", "img"},
		"--uts: invalid UTS mode":                                                                         {"--uts", "x", "img"},
		"--userns: invalid USER mode":                                                                     {"--userns", "x", "img"},
		"--cgroupns: invalid CGROUP mode":                                                                 {"--cgroupns", "x", "img"},
		"invalid value: 101. Valid memory swappiness range is 0-100":                                      {"--memory-swappiness", "101", "img"},
		"invalid logging opts for driver none":                                                            {"--log-driver", "none", "--log-opt", "a=b", "img"},
		"--no-healthcheck conflicts with --health-* options":                                              {"--no-healthcheck", "--health-cmd", "x", "img"},
		"--health-timeout cannot be negative":                                                             {"--health-timeout", "-1s", "img"},
		"invalid storage option":                                                                          {"--storage-opt", "x", "img"},
		"network-scoped aliases are only supported for user-defined networks":                             {"--network-alias", "x", "img"},
		`network "n" is specified multiple times`:                                                         {"--network", "n", "--ip", "1.2.3.4", "--network", "n", "img"},
		"conflicting options: cannot attach both user-defined and non-user-defined network-modes":         {"--network", "n", "--network", "host", "img"},
		"conflicting options: cannot specify both --ip and per-network IPv4 address":                      {"--network", "name=n,ip=1.2.3.4", "--ip", "1.2.3.5", "img"},
		"invalid IPv4 address: fd00::1":                                                                   {"--network", "n", "--ip", "fd00::1", "img"},
		"x is not a valid mac address":                                                                    {"--mac-address", "x", "img"},
		`invalid argument "x" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR`:        {"-a", "x", "img"},
		`invalid argument "256.1.1.1" for "--dns" flag: IP address is not correctly formatted: 256.1.1.1`: {"--dns", "256.1.1.1", "img"},
		"open /nonexistent: no such file or directory":                                                    {"--env-file", "/nonexistent", "img"},
		"invalid range format for --expose: 9-8, error: invalid port range: 9-8":                          {"--expose", "9-8", "img"},
		"invalid spec: /a:/b:ro:rw: too many colons":                                                      {"-v", "/a:/b:ro:rw", "img"},
		`invalid argument "type=bind" for "--mount" flag: target is required`:                             {"--mount", "type=bind", "img"},
	} {
		if _, err := request(t, args...); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
}
