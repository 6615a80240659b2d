package build

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
)

// Request is what POST /build asks for.
type Request struct {
	ID         string    // by which it can be cancelled; "": none
	Context    io.Reader // tar of the context, maybe compressed; not read if Remote is set
	Remote     string    // address of a context, or "client-session"
	Session    string    // of the client, for Remote "client-session"
	Trace      bool      // progress in BuildKit's form (version 2)
	Tags       []string  // full names
	Dockerfile string    // path in the context; "": Dockerfile
	Target     string
	Platform   string // "": the host's
	Args       map[string]*string
	Labels     map[string]string
	CacheFrom  []string
	ExtraHosts []string
	Network    string // "", default, bridge, host or none
	NoCache    bool
	Pull       bool
	Quiet      bool
	Squash     bool
	ShmSize    int64
	Ulimits    []*container.Ulimit
	Parent     string // of the steps' cgroups
	Limits     container.Resources
	Auth       map[string]registry.AuthConfig
	Exports    []Export // other results than an image (version 2)
}

// Export is a result of a build, in BuildKit's words.
type Export struct {
	Type  string
	Attrs map[string]string
}

// attrs are the request in the words of the Dockerfile frontend. gateway is as in
// hostList.
func (r *Request) attrs(gateway string) (map[string]string, []string, error) {
	if r.Squash {
		return nil, nil, fmt.Errorf("squashing the layers of an image is not supported: use a stage of its own (FROM scratch, COPY --from=…): %w", errdefs.ErrNotImplemented)
	}
	hosts, err := hostList(r.ExtraHosts, gateway)
	if err != nil {
		return nil, nil, err
	}
	a := map[string]string{"image-resolve-mode": "local"}
	if r.Pull {
		a["image-resolve-mode"] = "pull"
	}
	for key, value := range map[string]string{
		"filename": r.Dockerfile, "target": r.Target, "platform": r.Platform, "cgroup-parent": r.Parent,
		"cache-from": strings.Join(r.CacheFrom, ","), "add-hosts": hosts, "ulimit": ulimitList(r.Ulimits),
	} {
		if value != "" {
			a[key] = value
		}
	}
	if r.NoCache {
		a["no-cache"] = ""
	}
	if r.ShmSize > 0 {
		a["shm-size"] = strconv.FormatInt(r.ShmSize, 10)
	}
	for key, value := range r.Args {
		if value != nil {
			a["build-arg:"+key] = *value
		}
	}
	for key, value := range r.Labels {
		a["label:"+key] = value
	}
	limit(a, &r.Limits)
	var granted []string
	switch r.Network {
	case "", "default", "bridge":
	case "none":
		a["force-network-mode"] = "none"
	case "host":
		a["force-network-mode"] = "host"
		granted = append(granted, string(entitlements.EntitlementNetworkHost))
	default:
		return nil, nil, fmt.Errorf("network mode %q is not supported for builds: default, host or none are: %w", r.Network, errdefs.ErrInvalidArgument)
	}
	return a, granted, nil
}

func limit(a map[string]string, r *container.Resources) {
	for key, value := range map[string]int64{
		"memory": r.Memory, "memswap": r.MemorySwap, "cpushares": r.CPUShares, "cpuperiod": r.CPUPeriod, "cpuquota": r.CPUQuota,
	} {
		if value != 0 {
			a[key] = strconv.FormatInt(value, 10)
		}
	}
	for key, value := range map[string]string{"cpusetcpus": r.CpusetCpus, "cpusetmems": r.CpusetMems} {
		if value != "" {
			a[key] = value
		}
	}
}

func ulimitList(list []*container.Ulimit) string {
	var out []string
	for _, u := range list {
		out = append(out, fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard))
	}
	return strings.Join(out, ",")
}

// exports are what the build results in: an image with the tags, or without a
// name.
func (r *Request) exports() []Export {
	if len(r.Exports) > 0 {
		list := slices.Clone(r.Exports)
		for i, e := range list {
			if e.Type == exporterMoby || e.Type == "image" {
				list[i].Attrs = maps.Clone(e.Attrs)
				if list[i].Attrs == nil {
					list[i].Attrs = map[string]string{}
				}
				list[i].Attrs["name"] = strings.Join(r.Tags, ",")
			}
		}
		return list
	}
	return []Export{{Type: exporterMoby, Attrs: map[string]string{"name": strings.Join(r.Tags, ",")}}}
}

// ParseTags reads the names that a build is to have; each has a tag in the end. Its
// errors are Docker's texts, of what the client has given.
func ParseTags(list []string) ([]string, error) {
	var out []string
	for _, t := range list {
		if t == "" {
			continue
		}
		named, err := reference.ParseNormalizedNamed(t)
		if err != nil {
			return nil, err
		}
		if _, ok := named.(reference.Digested); ok {
			return nil, errors.New("build tag cannot contain a digest")
		}
		if full := reference.TagNameOnly(named).String(); !slices.Contains(out, full) {
			out = append(out, full)
		}
	}
	return out, nil
}
