package e2e

import (
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	nettypes "github.com/moby/moby/api/types/network"
)

// deviceProbes: devices of the host.
var deviceProbes = []probe{
	{field: "Resources.Devices", does: "device nodes of the host", run: "ls -l /dev/probe", want: "/dev/probe", set: func(r *request) {
		r.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/full", PathInContainer: "/dev/probe"}}
	}},
	{field: "DeviceMapping.PathOnHost", does: "node, or a directory of them", run: "ls -l /dev/probe | awk '{print $5 $6}'", base: device, set: func(r *request) { r.HostConfig.Devices[0].PathOnHost = "/dev/zero" }, want: "1,5"},
	{field: "DeviceMapping.PathInContainer", does: "where", run: "ls /dev", base: device, set: func(r *request) { r.HostConfig.Devices[0].PathInContainer = "/dev/elsewhere" }, want: "elsewhere"},
	{field: "DeviceMapping.CgroupPermissions", does: "r, w and m", run: "head -c 1 /dev/probe | wc -c", base: func(r *request) {
		r.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: r.w.device, PathInContainer: "/dev/probe"}}
	}, set: func(r *request) { r.HostConfig.Devices[0].CgroupPermissions = "m" }, want: "not permitted"},
	{field: "Resources.DeviceRequests", does: "devices by CDI; --gpus where CDI knows nvidia.com/gpu", run: "echo $CDI; ls /dev/probe", set: asks("probe.org/dev=one"), want: "injected\n/dev/probe"},
	{field: "DeviceRequest.Driver", does: "cdi; empty or nvidia with the capability gpu", run: "echo $GPU0$GPU1", want: "one", set: func(r *request) {
		r.HostConfig.DeviceRequests = []container.DeviceRequest{{Driver: "nvidia", DeviceIDs: []string{"1"}, Capabilities: [][]string{{"gpu"}}}}
	}},
	{field: "DeviceRequest.Driver", refused: `could not select device driver "nobody"`, set: func(r *request) { r.HostConfig.DeviceRequests = []container.DeviceRequest{{Driver: "nobody"}} }},
	{field: "DeviceRequest.Count", does: "how many graphics processors; -1: all", run: "echo $GPU0$GPU1", want: "zeroone", base: func(r *request) {
		r.HostConfig.DeviceRequests = []container.DeviceRequest{{Count: 1, Capabilities: [][]string{{"gpu"}}}}
	}, set: func(r *request) { r.HostConfig.DeviceRequests[0].Count = -1 }},
	{field: "DeviceRequest.Count", refused: "cannot set both Count and DeviceIDs", base: asks("probe.org/dev=one"), set: func(r *request) { r.HostConfig.DeviceRequests[0].Count = 1 }},
	{field: "DeviceRequest.DeviceIDs", does: "names as vendor/class=name", run: "echo $CDI", base: asks("probe.org/dev=one"), set: asks("probe.org/dev=two"), want: "second"},
	{field: "DeviceRequest.DeviceIDs", refused: "unresolvable CDI devices probe.org/dev=three", set: asks("probe.org/dev=three")},
	{field: "DeviceRequest.Capabilities", does: "gpu", run: "echo $GPU0$GPU1", want: "zeroone", set: func(r *request) {
		r.HostConfig.DeviceRequests = []container.DeviceRequest{{Count: -1, Capabilities: [][]string{{"gpu"}}}}
	}},
	{field: "DeviceRequest.Capabilities", refused: `could not select device driver "" with capabilities: [[tpu]]`, set: func(r *request) {
		r.HostConfig.DeviceRequests = []container.DeviceRequest{{Count: -1, Capabilities: [][]string{{"tpu"}}}}
	}},
	{field: "DeviceRequest.Options", does: "refused: no driver has any", refused: "DeviceRequests: options", base: asks("probe.org/dev=one"), set: func(r *request) { r.HostConfig.DeviceRequests[0].Options = map[string]string{"a": "b"} }},
	{field: "Resources.DeviceCgroupRules", does: "what may be done with which devices", run: "mknod /tmp/d b 7 0; head -c 0 /tmp/d; echo $?", want: "0", set: func(r *request) { r.HostConfig.DeviceCgroupRules = []string{"b 7:* rwm"} }},
}

func device(r *request) {
	r.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/full", PathInContainer: "/dev/probe"}}
}

// asks is a request for devices of the CDI specification in the shared folder.
func asks(names ...string) func(*request) {
	return func(r *request) {
		r.HostConfig.DeviceRequests = []container.DeviceRequest{{Driver: "cdi", DeviceIDs: names}}
	}
}

// cdiSpec describes two devices.
const cdiSpec = `{"cdiVersion": "0.6.0", "kind": "probe.org/dev", "devices": [
	{"name": "one", "containerEdits": {"env": ["CDI=injected"], "deviceNodes": [{"path": "/dev/probe", "hostPath": "/dev/full"}]}},
	{"name": "two", "containerEdits": {"env": ["CDI=second"]}}]}`

// refusedProbes: fields that this engine does not honour, by its error.
var refusedProbes = []probe{
	{field: "Config.ArgsEscaped", does: "Windows only", refused: "ArgsEscaped", set: func(r *request) { r.Config.ArgsEscaped = true }},
	{field: "HostConfig.Cgroup", does: "never did anything with Docker", refused: "Cgroup", set: func(r *request) { r.HostConfig.Cgroup = "container:x" }},
	{
		field: "EndpointSettings.Links", does: "other names for containers, on user-defined networks, as with Docker", run: "ping -c 1 -w 5 o 2>&1 | head -1", want: "PING o (", base: onNetwork(nil),
		set: onNetwork(func(e *nettypes.EndpointSettings) { e.Links = []string{"peer:o"} }),
	},
	{field: "EndpointSettings.Links", refused: "links are only supported for user-defined networks", set: attached(func(e *nettypes.EndpointSettings) { e.Links = []string{"other:o"} })},
	{field: "HostConfig.UsernsMode", does: "host leaves a daemon's userns-remap (TestUsernsRemapModes); nothing else, as with Docker", refused: "invalid user namespace mode", set: func(r *request) { r.HostConfig.UsernsMode = "private" }},
	{field: "HostConfig.Isolation", does: "default", refused: "invalid isolation", set: func(r *request) { r.HostConfig.Isolation = "hyperv" }},
	{field: "Resources.CPUCount", does: "Windows only", refused: "CpuCount", set: func(r *request) { r.HostConfig.CPUCount = 1 }},
	{field: "Resources.CPUPercent", does: "Windows only", refused: "CpuPercent", set: func(r *request) { r.HostConfig.CPUPercent = 1 }},
	{field: "Resources.IOMaximumIOps", does: "Windows only", refused: "IOMaximumIOps", set: func(r *request) { r.HostConfig.IOMaximumIOps = 1 }},
	{field: "Resources.IOMaximumBandwidth", does: "Windows only", refused: "IOMaximumBandwidth", set: func(r *request) { r.HostConfig.IOMaximumBandwidth = 1 }},
	{field: "Mount.ClusterOptions", does: "cluster volumes need a cluster", refused: "cluster", set: with(mount.Mount{Type: mount.TypeCluster, Source: "x", Target: "/probe", ClusterOptions: &mount.ClusterOptions{}})},
}
