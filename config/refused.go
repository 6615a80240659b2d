package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// refusal is a setting of dockerd that berthd does not have. It is accepted with
// a value that asks for nothing else than what happens anyway.
type refusal struct {
	flag, key string   // "" where dockerd has only the other
	means     string   // bool, string, list or map: the JSON type of the key
	harmless  []string // values that are accepted beside the empty one
	reason    string   // why not, and what to do instead
}

// Reasons that several settings share.
const (
	noSwarm      = "this engine is not part of a swarm"
	noContainerd = "the engine has its image store inside: there is no containerd to configure"
	noRealtime   = "the kernel would have to be built with CONFIG_RT_GROUP_SCHED; set cpu-rt-* for each container"
	notYet       = "this version of Berth cannot do it yet"
	alwaysNFT    = "published ports and networks need Berth's own nftables table, which touches no other; see publish-policy"
)

// refusals is dockerd 28's and 29's settings without those of Config. A test
// compares both with dockerd's documentation (testdata/dockerd-29.txt).
var refusals = []refusal{
	{"containerd", "containerd", "string", nil, noContainerd},
	{"containerd-namespace", "containerd-namespace", "string", []string{"moby"}, noContainerd},
	{"containerd-plugins-namespace", "containerd-plugins-namespace", "string", []string{"plugins.moby"}, noContainerd},
	{"cri-containerd", "cri-containerd", "bool", []string{"false"}, noContainerd},
	{"cpu-rt-period", "cpu-rt-period", "string", []string{"0"}, noRealtime},
	{"cpu-rt-runtime", "cpu-rt-runtime", "string", []string{"0"}, noRealtime},
	{"firewall-backend", "firewall-backend", "string", []string{"nftables"}, alwaysNFT},
	{"init-path", "init-path", "string", nil, "init is part of berth-sandbox"},
	{"ip-forward-no-drop", "ip-forward-no-drop", "bool", []string{"true", "false"}, "the policy of the host's FORWARD chain is never changed"},
	{"ip6tables", "ip6tables", "bool", []string{"true"}, alwaysNFT},
	{"iptables", "iptables", "bool", []string{"true"}, alwaysNFT},
	{"", "min-api-version", "string", []string{"1.24"}, "clients of all versions from 1.24 on are served"},
	{"network-control-plane-mtu", "network-control-plane-mtu", "string", []string{"1500"}, noSwarm},
	{"network-diagnostic-port", "network-diagnostic-port", "string", []string{"0"}, noSwarm},
	{"node-generic-resource", "node-generic-resources", "list", []string{"[]"}, noSwarm},
	{"oom-score-adjust", "oom-score-adjust", "string", []string{"0"}, "set OOMScoreAdjust= in the service's unit"},
	{"raw-logs", "raw-logs", "bool", []string{"true", "false"}, "the daemon's log never has colours"},
	{"rootless", "rootless", "bool", []string{"false"}, notYet},
	{"selinux-enabled", "selinux-enabled", "bool", []string{"false"}, notYet},
	{"swarm-default-advertise-addr", "swarm-default-advertise-addr", "string", nil, noSwarm},
	{"userland-proxy", "userland-proxy", "bool", []string{"true", "false"}, "there never is a proxy process for a port"},
	{"userland-proxy-path", "userland-proxy-path", "string", nil, "there never is a proxy process for a port"},
	{"", "allow-nondistributable-artifacts", "list", []string{"[]"}, "Docker has removed it"},
	{"", "api-cors-header", "string", nil, "Docker has removed it"},
	{"", "cluster-advertise", "string", nil, "Docker has removed it"},
	{"", "cluster-store", "string", nil, "Docker has removed it"},
	{"", "graph", "string", nil, "Docker has removed it; use data-root"},
}

// ours tells whether Config has a key by now.
func ours(key string) bool { return key != "" && keys()[key] }

// check refuses a value unless it changes nothing.
func (r *refusal) check(value string) error {
	value = strings.TrimSpace(value)
	if unquoted := ""; json.Unmarshal([]byte(value), &unquoted) == nil {
		value = unquoted
	}
	if value == "" || value == "null" || slices.Contains(r.harmless, value) || slices.Contains(r.harmless, compact([]byte(value))) {
		return nil
	}
	name := r.key
	if name == "" {
		name = r.flag
	}
	return fmt.Errorf("%s=%s is not supported: %s", name, value, r.reason)
}

// refusedFlag stands for a flag of dockerd.
type refusedFlag struct {
	r     *refusal
	value string
}

func (f *refusedFlag) String() string { return f.value }

// Type names the value in usage texts.
func (f *refusedFlag) Type() string { return f.r.means }

// Set refuses what means something.
func (f *refusedFlag) Set(s string) error {
	f.value = s
	return f.r.check(s)
}

// addRefused declares the flags of dockerd that are not there. They are not shown
// in the usage text.
func addRefused(fs *pflag.FlagSet) {
	for i := range refusals {
		r := &refusals[i]
		if r.flag == "" || fs.Lookup(r.flag) != nil {
			continue
		}
		f := fs.VarPF(&refusedFlag{r: r}, r.flag, "", "")
		f.Hidden = true
		if r.means == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// refusedKey finds the row of a key that Config does not have.
func refusedKey(key string) *refusal {
	i := slices.IndexFunc(refusals, func(r refusal) bool { return r.key == key && !ours(key) })
	if i < 0 {
		return nil
	}
	return &refusals[i]
}
