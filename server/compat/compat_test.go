package compat

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/system"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func v(minor int) Version { return Version{1, minor} }

func TestNewestIsTheModules(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/moby/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := os.ReadFile(strings.TrimSpace(string(dir)) + "/swagger.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^  version: "([0-9.]+)"`).FindSubmatch(spec)
	if m == nil || string(m[1]) != Newest.String() {
		t.Errorf("the specification says %q, this package %s", m, Newest)
	}
}

func TestVersions(t *testing.T) {
	for s, want := range map[string]Version{"1.24": {1, 24}, "1": {1, 0}, "2.0": {2, 0}, "1.056": {1, 56}} {
		if got, err := ParseVersion(s); err != nil || got != want {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
	for _, s := range []string{"", ".", "1.2.3", "x", "1.-2", "99999.1"} {
		if got, err := ParseVersion(s); err == nil {
			t.Errorf("%q parsed as %v", s, got)
		}
	}
	if !v(9).Less(v(10)) || v(24).Less(v(24)) || !v(56).Less(Version{2, 0}) {
		t.Error("order")
	}
}

func TestFilters(t *testing.T) {
	for in, want := range map[string]string{
		"":                             `{}`,
		"null":                         `{}`,
		`{"label":{"a=b":true}}`:       `{"label":{"a=b":true}}`,
		`{"label":["a","b"],"x":null}`: `{"label":{"a":true,"b":true},"x":{}}`,
	} {
		f, err := Filters(in)
		if got, _ := json.Marshal(f); err != nil || string(got) != want {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
	for _, in := range []string{"{", "[]", `"x"`, `{"a":1}`, `{"a":["b"]} {}`, strings.Repeat(" ", maxFilters+1)} {
		if f, err := Filters(in); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%.20s: %v %v", in, f, err)
		}
	}
}

func lift(t *testing.T, ver Version, body string) (*container.CreateRequest, []string, error) {
	t.Helper()
	var b CreateBody
	if err := json.Unmarshal([]byte(body), &b); err != nil {
		t.Fatal(err)
	}
	return b.Lift(ver, Host{})
}

func TestLiftCreate(t *testing.T) {
	req, warnings, err := lift(t, v(24), `{"Image":"x","Cmd":"echo hi","MacAddress":"02:42:ac:11:00:09",
		"HostConfig":{"AutoRemove":true,"PidsLimit":-1,"ConsoleSize":[1,2],"Annotations":{"a":"b"},
		"PortBindings":{"80/tcp":[],"81/tcp":[{"HostIp":"","HostPort":"8081"}]},"Sysctls":{"net.ipv4.conf.eth0.log_martians":"1","net.core.x":"2"},
		"Mounts":[{"Type":"bind","Source":"/a","Target":"/b","VolumeOptions":{},"BindOptions":{"NonRecursive":true}}]},
		"NetworkingConfig":{"EndpointsConfig":{"default":null}}}`)
	if err != nil || len(warnings) != 1 || !strings.HasPrefix(warnings[0], "Migrated sysctl") {
		t.Fatalf("%v %v", warnings, err)
	}
	hc := req.HostConfig
	ep := req.NetworkingConfig.EndpointsConfig["bridge"]
	if len(req.Cmd) != 1 || req.Cmd[0] != "echo hi" || hc.AutoRemove || hc.PidsLimit != nil || hc.ConsoleSize != [2]uint{} ||
		hc.Annotations != nil || hc.IpcMode != "" || hc.CgroupnsMode != "host" || hc.NetworkMode != "bridge" ||
		len(hc.Sysctls) != 1 || hc.Mounts[0].VolumeOptions != nil || hc.Mounts[0].BindOptions.NonRecursive || !hc.Mounts[0].BindOptions.ReadOnlyNonRecursive {
		t.Errorf("%+v", hc)
	}
	if len(hc.PortBindings[network.MustParsePort("80")]) != 1 || hc.PortBindings[network.MustParsePort("81")][0].HostPort != "8081" {
		t.Errorf("ports %v", hc.PortBindings)
	}
	if ep == nil || ep.MacAddress.String() != "02:42:ac:11:00:09" || ep.DriverOpts[endpointSysctls] != "net.ipv4.conf.IFNAME.log_martians=1" {
		t.Errorf("endpoint %+v", ep)
	}

	req, warnings, err = lift(t, Newest, `{"Image":"x","Entrypoint":["a"],"MacAddress":"02:42:ac:11:00:09","HostConfig":{"PortBindings":{"80/tcp":[]}}}`)
	if err != nil || len(warnings) != 0 || len(req.HostConfig.PortBindings) != 0 || len(req.NetworkingConfig.EndpointsConfig) != 0 || req.HostConfig.IpcMode != "" {
		t.Errorf("%+v %v %v", req, warnings, err)
	}
}

func TestLiftRefuses(t *testing.T) {
	for _, tc := range []struct {
		minor      int
		body, want string
	}{
		{56, `{}`, "config cannot be empty"},
		{56, `null`, "config cannot be empty"},
		{43, `{"Image":"x","NetworkingConfig":{"EndpointsConfig":{"b":{},"a":{}}}}`, "multiple network endpoints: a, b"},
		{43, `{"Image":"x","MacAddress":"02:42:ac:11:00:09","HostConfig":{"NetworkMode":"host"}}`, "conflicting options: mac-address"},
		{44, `{"Image":"x","MacAddress":"02:42:ac:11:00:09","HostConfig":{"NetworkMode":"none"}}`, "conflicting options: mac-address"},
		{44, `{"Image":"x","MacAddress":"zz"}`, "invalid MAC address"},
		{44, `{"Image":"x","MacAddress":"02:42:ac:11:00:09","NetworkingConfig":{"EndpointsConfig":{"bridge":{"MacAddress":"02:42:ac:11:00:01"}}}}`, "must match"},
		{44, `{"Image":"x","MacAddress":"02:42:ac:11:00:09","NetworkingConfig":{"EndpointsConfig":{"other":{}}}}`, "must match the identity"},
		{42, `{"Image":"x","HostConfig":{"Mounts":[{"Type":"bind","VolumeOptions":{}}]}}`, "VolumeOptions must not be specified"},
		{43, `{"Image":"x","HostConfig":{"Mounts":[{"Type":"bind","BindOptions":{"ReadOnlyForceRecursive":true}}]}}`, "needs API v1.44"},
		{44, `{"Image":"x","HostConfig":{"Mounts":[{"Type":"volume","VolumeOptions":{"Subpath":"x"}}]}}`, "needs API v1.45"},
		{47, `{"Image":"x","HostConfig":{"Mounts":[{"Type":"image"}]}}`, "needs API v1.48"},
		{48, `{"Image":"x","HostConfig":{"Sysctls":{"net.ipv4.conf.eth0.x":"1"}}}`, "must be supplied using driver option"},
		{47, `{"Image":"x","HostConfig":{"Sysctls":{"net.ipv4.conf.eth1.x":"1"}}}`, "unable to determine network endpoint"},
	} {
		_, _, err := lift(t, v(tc.minor), tc.body)
		if err == nil || !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.body, err, tc.want)
		}
	}
}

// has checks that the JSON of x, at the path, is want; "-" means absent.
func has(t *testing.T, x any, path, want string) {
	t.Helper()
	data, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	var at any
	if err := json.Unmarshal(data, &at); err != nil {
		t.Fatal(err)
	}
	got := "-"
	for i, p := range strings.Split(path, ".") {
		m, _ := at.(map[string]any)
		next, ok := m[p]
		if !ok {
			break
		}
		at = next
		if i == strings.Count(path, ".") {
			b, _ := json.Marshal(at)
			got = string(b)
		}
	}
	if got != want {
		t.Errorf("%s is %s, want %s, in %s", path, got, want, data)
	}
}

func TestInspectContainer(t *testing.T) {
	c := container.InspectResponse{
		ID: "0123456789abcdef", Config: &container.Config{Hostname: "h"},
		ImageManifestDescriptor: &ocispec.Descriptor{},
		NetworkSettings: &container.NetworkSettings{SandboxID: "s", Networks: map[string]*network.EndpointSettings{
			"bridge": {IPAddress: netip.MustParseAddr("172.17.0.2"), IPPrefixLen: 16, Gateway: netip.MustParseAddr("172.17.0.1"), MacAddress: network.HardwareAddr{2, 0, 0, 0, 0, 1}},
			"mine":   {Aliases: []string{"a"}},
		}},
	}
	old := InspectContainer(v(41), c)
	has(t, old, "NetworkSettings.IPAddress", `"172.17.0.2"`)
	has(t, old, "NetworkSettings.Gateway", `"172.17.0.1"`)
	has(t, old, "NetworkSettings.MacAddress", `"02:00:00:00:00:01"`)
	has(t, old, "NetworkSettings.GlobalIPv6Address", `""`)
	has(t, old, "NetworkSettings.SandboxID", `"s"`)
	has(t, old, "NetworkSettings.Networks.mine.Aliases", `["a","0123456789ab","h"]`)
	has(t, old, "Config.OnBuild", "null")
	has(t, old, "Config.Hostname", `"h"`)
	has(t, old, "ImageManifestDescriptor", "-")
	has(t, old, "Id", `"0123456789abcdef"`)
	if len(c.NetworkSettings.Networks["mine"].Aliases) != 1 {
		t.Error("changed its argument")
	}
	now := InspectContainer(Newest, c)
	has(t, now, "NetworkSettings.IPAddress", "-")
	has(t, now, "NetworkSettings.Networks.bridge.IPAddress", `"172.17.0.2"`)
	has(t, now, "Config.OnBuild", "-")
	has(t, InspectContainer(v(50), container.InspectResponse{}), "NetworkSettings.IPAddress", `""`)
}

func TestImages(t *testing.T) {
	r := image.InspectResponse{Size: 7, Descriptor: &ocispec.Descriptor{}, Config: &dockerspec.DockerOCIImageConfig{}}
	r.Config.Cmd, r.Config.StopSignal, r.Config.Shell = []string{"c"}, "TERM", []string{"sh"}
	old := InspectImage(v(41), r, "overlayfs")
	for path, want := range map[string]string{
		"VirtualSize": "7", "Size": "7", "Descriptor": "-", "RepoTags": "[]", "Created": `"0001-01-01T00:00:00Z"`, "Parent": `""`,
		"Config.Cmd": `["c"]`, "Config.StopSignal": `"TERM"`, "Config.Hostname": `""`, "Config.Env": "null", "Config.Shell": `["sh"]`,
		"GraphDriver.Name": `"overlayfs"`, "ContainerConfig.Cmd": "null", "Container": `""`,
	} {
		has(t, old, path, want)
	}
	r.Config.Volumes = map[string]struct{}{"/v": {}}
	has(t, InspectImage(v(44), r, ""), "ContainerConfig.Volumes", `{"/v":{}}`)
	mid := InspectImage(v(51), r, "overlayfs")
	has(t, mid, "VirtualSize", "-")
	has(t, mid, "Config.Hostname", "-")
	has(t, mid, "Config.User", `""`)
	has(t, mid, "ContainerConfig", "-")
	now := InspectImage(Newest, r, "overlayfs")
	has(t, now, "Config.User", "-")
	has(t, now, "GraphDriver", "-")
	has(t, now, "Parent", "-")

	list := []image.Summary{{Size: 5, Containers: 2, Descriptor: &ocispec.Descriptor{}}}
	o := ListImages(v(41), list).([]imageSummary)[0]
	has(t, o, "VirtualSize", "5")
	has(t, o, "RepoTags", `["\u003cnone\u003e:\u003cnone\u003e"]`)
	has(t, o, "Containers", "-1")
	has(t, o, "Descriptor", "-")
	n := ListImages(Newest, list).([]image.Summary)[0]
	has(t, n, "RepoTags", "[]")
	has(t, n, "Containers", "2")
	for _, ver := range []Version{v(24), Newest} {
		if b, _ := json.Marshal(ListImages(ver, nil)); string(b) != "[]" {
			t.Errorf("no images: %s", b)
		}
		if b, _ := json.Marshal(ListContainers(ver, nil)); string(b) != "[]" {
			t.Errorf("no containers: %s", b)
		}
	}
}

func TestInfoAndEvents(t *testing.T) {
	i := system.Info{ContainerdCommit: system.Commit{ID: "x"}, FirewallBackend: &system.FirewallInfo{Driver: "nftables"}, Containerd: &system.ContainerdInfo{}}
	old := Info(v(41), i)
	has(t, old, "BridgeNfIptables", "false")
	has(t, old, "ContainerdCommit.Expected", `"x"`)
	has(t, old, "FirewallBackend", "-")
	has(t, old, "Containerd", "-")
	has(t, Info(v(49), i), "ContainerdCommit.Expected", "-")
	has(t, Info(v(49), i), "BridgeNfIptables", "false")
	has(t, Info(Newest, i), "BridgeNfIptables", "-")
	has(t, Info(Newest, i), "FirewallBackend.Driver", `"nftables"`)

	m := events.Message{Type: events.ContainerEventType, Action: events.ActionStart, Actor: events.Actor{ID: "c", Attributes: map[string]string{"image": "i"}}}
	e, _ := Event(v(51), m)
	has(t, e, "status", `"start"`)
	has(t, e, "from", `"i"`)
	has(t, e, "Actor.ID", `"c"`)
	e, _ = Event(v(52), m)
	has(t, e, "status", "-")
	if _, ok := Event(v(45), events.Message{Type: events.ImageEventType, Action: events.ActionCreate}); ok {
		t.Error("image create events are new in 1.46")
	}
}

func TestProgress(t *testing.T) {
	m := jsonstream.Message{ID: "x", Status: "Downloading", Progress: &jsonstream.Progress{Current: 5_000_000, Total: 10_000_000}}
	has(t, Progress(v(50), m), "progress", `"[=========================\u003e                         ]      5MB/10MB"`)
	has(t, Progress(Newest, m), "progress", "-")
	has(t, Progress(Newest, m), "progressDetail.total", "10000000")
	f := Progress(Newest, jsonstream.Message{Error: &jsonstream.Error{Message: "no", Code: 3}})
	has(t, f, "error", `"no"`)
	has(t, f, "errorDetail.code", "3")
}

func FuzzFilters(f *testing.F) {
	f.Add(`{"label":{"a":true}}`)
	f.Add(`{"label":["a"]}`)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Filters(s)
		if (got == nil) == (err == nil) {
			t.Errorf("%v %v", got, err)
		}
		if err != nil {
			return
		}
		b, _ := json.Marshal(got)
		if again, err := Filters(string(b)); err != nil || len(again) != len(got) {
			t.Errorf("%q does not survive: %s %v", s, b, err)
		}
	})
}

func FuzzCreate(f *testing.F) {
	f.Add([]byte(`{"Image":"x","Cmd":"a","HostConfig":{"Mounts":[{"Type":"bind"}],"PortBindings":{"80":null},"Sysctls":{"net.ipv4.conf.eth0.x":"1"}}}`), 41)
	f.Add([]byte(`{"NetworkingConfig":{"EndpointsConfig":{"default":null}},"MacAddress":"02:42:ac:11:00:09"}`), 44)
	f.Fuzz(func(t *testing.T, data []byte, minor int) {
		var b CreateBody
		if json.Unmarshal(data, &b) != nil {
			return
		}
		req, _, err := b.Lift(Version{1, minor}, Host{})
		if err == nil && (req.Config == nil || req.HostConfig == nil || req.NetworkingConfig == nil || req.HostConfig.NetworkMode == "") {
			t.Errorf("incomplete: %+v", req)
		}
	})
}

// The Python SDK returns output only of drivers that it knows.
func TestLiftLog(t *testing.T) {
	sdk, local := "docker-sdk-python/7.1.0", container.LogConfig{Type: "local", Config: map[string]string{"max-size": "1m"}}
	for name, c := range map[string]struct {
		host Host
		body string
		want string
	}{
		"sdk":            {Host{Client: sdk, Log: local}, `{}`, "json-file map[compress:true max-file:3 max-size:1m]"},
		"sdk's choice":   {Host{Client: sdk, Log: local}, `{"LogConfig":{"Type":"none"}}`, "none map[]"},
		"another client": {Host{Client: "x", Log: local}, `{}`, " map[]"},
		"another engine": {Host{Client: sdk, Log: container.LogConfig{Type: "journald"}}, `{}`, " map[]"},
	} {
		var b CreateBody
		if err := json.Unmarshal([]byte(`{"Image":"x","HostConfig":`+c.body+`}`), &b); err != nil {
			t.Fatal(err)
		}
		req, _, err := b.Lift(Newest, c.host)
		if err != nil {
			t.Fatal(err)
		}
		if l := req.HostConfig.LogConfig; fmt.Sprint(l.Type, " ", l.Config) != c.want {
			t.Errorf("%s: got %s %v", name, l.Type, l.Config)
		}
	}
}

func TestNewestFor(t *testing.T) {
	for client, want := range map[string]Version{
		"docker-sdk-python/7.1.0": {1, 44}, "docker-compose/1.29.2 docker-py/5.0.3 Linux/6.1": {1, 44},
		"Docker-Client/28.2.2 (linux)": Newest, "": Newest,
	} {
		if got := NewestFor(client); got != want {
			t.Errorf("%q: got %v", client, got)
		}
	}
}
