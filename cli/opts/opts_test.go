package opts

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

func TestParsePublish(t *testing.T) {
	for spec, want := range map[string]string{
		"80":                           "80/tcp<-:",
		"80/udp":                       "80/udp<-:",
		"80/UDP":                       "80/udp<-:",
		"8080:80":                      "80/tcp<-:8080",
		"127.0.0.1:8080:80":            "80/tcp<-127.0.0.1:8080",
		"127.0.0.1::80":                "80/tcp<-127.0.0.1:",
		"[::1]:8080:80/tcp":            "80/tcp<-::1:8080",
		"::1:8080:80":                  "80/tcp<-::1:8080",
		"[2001:db8::1]::53/udp":        "53/udp<-2001:db8::1:",
		"8000-8002:80-82":              "80/tcp<-:8000 81/tcp<-:8001 82/tcp<-:8002",
		"8000-9000:80":                 "80/tcp<-:8000-9000",
		"80-81":                        "80/tcp<-: 81/tcp<-:",
		"published=8080,target=80":     "80/tcp<-:8080",
		"target=53,protocol=udp":       "53/udp<-:",
		"":                             "no port specified: <empty>",
		"8080:":                        "no port specified: 8080:<empty>",
		"80/icmp":                      "invalid proto: icmp",
		"foo:80":                       "invalid hostPort: foo",
		"80:foo":                       "invalid containerPort: foo",
		"70000:80":                     "invalid hostPort: 70000",
		"localhost:80:80":              "invalid IP address: localhost",
		"1.2.3.4.5:80:80":              "invalid IP address: 1.2.3.4.5",
		"8000-8001:80-82":              "invalid ranges specified for container and host Ports: 80-82 and 8000-8001",
		"90-80":                        "invalid containerPort: 90-80",
		"published=8080,target":        "invalid publish opts format (should be name=value but got 'target')",
		"0-65535:0-65535":              "",
		"65535:65535":                  "65535/tcp<-:65535",
		"-1:80":                        "invalid hostPort: -1",
		"[fe80::1%eth0]:80:80":         "80/tcp<-fe80::1%eth0:80",
		"[::1:80:80":                   "invalid IP address: [::1",
		"target=80,published=1,x=y,=z": "invalid publish opts format (should be name=value but got '=z')",
	} {
		ports, err := ParsePublish(spec)
		var got []string
		for _, p := range ports {
			ip := ""
			if p.Binding.HostIP.IsValid() {
				ip = p.Binding.HostIP.String()
			}
			got = append(got, fmt.Sprintf("%s<-%s:%s", p.Port, ip, p.Binding.HostPort))
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if want == "" {
			if len(ports) != 65536 {
				t.Errorf("%q: %d ports", spec, len(ports))
			}
			continue
		}
		if text != want {
			t.Errorf("%q: got %q, want %q", spec, text, want)
		}
	}
}

func FuzzParsePublish(f *testing.F) {
	for _, s := range []string{"80", "127.0.0.1:8000-8001:80-81/udp", "[::1]:8080:80", "target=80,published=8080"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := ParsePublish(s)
		if err == nil && (len(ports) == 0 || len(ports) > 65536) {
			t.Errorf("%q: %d ports", s, len(ports))
		}
		for _, p := range ports {
			if !p.Port.IsValid() {
				t.Errorf("%q: invalid port", s)
			}
		}
	})
}

func TestParseVolume(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		"/a:/b":       "/a:/b|",
		"/a:/b:ro,z":  "/a:/b:ro,z|",
		"name:/b":     "name:/b|",
		"/b":          "|/b",
		"./x:/b":      filepath.Join(wd, "x") + ":/b|",
		"..:/b":       filepath.Dir(wd) + ":/b|",
		"":            "invalid empty volume spec",
		"/a:":         "invalid spec: /a:: empty section between colons",
		":/b":         "invalid spec: :/b: empty section between colons",
		"/a:/b:ro:rw": "invalid spec: /a:/b:ro:rw: too many colons",
	} {
		bind, anonymous, err := ParseVolume(spec)
		got := bind + "|" + anonymous
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", spec, got, want)
		}
	}
}

func TestParseMount(t *testing.T) {
	for spec, want := range map[string]any{
		"type=bind,src=/a,dst=/b,ro": mount.Mount{Type: mount.TypeBind, Source: "/a", Target: "/b", ReadOnly: true},
		"type=bind,source=/a,target=/b,readonly=false,bind-propagation=rshared,bind-recursive=disabled": mount.Mount{
			Type: mount.TypeBind, Source: "/a", Target: "/b",
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationRShared, NonRecursive: true},
		},
		"type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770": mount.Mount{
			Type: mount.TypeTmpfs, Target: "/t", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o1770},
		},
		`src=v,dst=/v,volume-nocopy,volume-label=a=b,"volume-opt=o=x,y"`: mount.Mount{
			Type: mount.TypeVolume, Source: "v", Target: "/v",
			VolumeOptions: &mount.VolumeOptions{
				NoCopy: true, Labels: map[string]string{"a": "b"},
				DriverConfig: &mount.Driver{Options: map[string]string{"o": "x,y"}},
			},
		},
		"type=image,src=i,dst=/i,image-subpath=p": mount.Mount{
			Type: mount.TypeImage, Source: "i", Target: "/i", ImageOptions: &mount.ImageOptions{Subpath: "p"},
		},
		"type=bind,src=/a":                      "target is required",
		"type=,dst=/a":                          "type is required",
		"foo":                                   "invalid field 'foo' must be a key=value pair",
		"dst=/a,x=y":                            "unexpected key 'x' in 'x=y'",
		"dst=/a,bind-x=y":                       "unexpected key 'bind-x' in 'bind-x=y'",
		"dst=/a,ro=perhaps":                     "invalid value for ro: perhaps",
		"type=tmpfs,dst=/a,tmpfs-size=":         "invalid value for tmpfs-size: ",
		"type=volume,dst=/a,tmpfs-size=1m":      "cannot mix 'tmpfs-*' options with mount type 'volume'",
		"type=bind,src=/a,dst=/a,volume-nocopy": "cannot mix 'volume-*' options with mount type 'bind'",

		"type=bind,src=/a,dst=/a,bind-recursive=some":        `invalid value for bind-recursive: some (must be "enabled", "disabled", "writable", or "readonly")`,
		"type=bind,src=/a,dst=/a,bind-recursive=writable":    "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
		"type=bind,src=/a,dst=/a,ro,bind-recursive=readonly": "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
	} {
		m, err := ParseMount(spec)
		if err != nil {
			if err.Error() != want {
				t.Errorf("%q: got %q, want %q", spec, err, want)
			}
		} else if !reflect.DeepEqual(m, want) {
			t.Errorf("%q: got %+v, want %+v", spec, m, want)
		}
	}
}

func FuzzParseMount(f *testing.F) {
	f.Add("type=bind,src=/a,dst=/b,ro")
	f.Add(`dst=/v,"volume-opt=o=x,y"`)
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := ParseMount(s); err == nil && m.Target == "" {
			t.Errorf("%q: no target", s)
		}
	})
}

func TestNetworks(t *testing.T) {
	var n Networks
	if n.Mode() != "default" {
		t.Errorf("mode %q", n.Mode())
	}
	for _, s := range []string{"host", "name=mynet,alias=a,alias=b,ip=10.0.0.2,driver-opt=k=v,gw-priority=5", "container:x"} {
		if err := n.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	want := []Attachment{
		{Target: "host"},
		{Target: "mynet", Aliases: []string{"a", "b"}, IPv4: "10.0.0.2", DriverOpts: map[string]string{"k": "v"}, GwPriority: 5},
		{Target: "container:x"},
	}
	if !reflect.DeepEqual(n.Values, want) || n.Mode() != "host" {
		t.Errorf("got %+v", n.Values)
	}
	for s, want := range map[string]string{
		"alias=a":              "network name/id is not specified",
		"name=x,foo=y":         "invalid field key foo",
		"name=x,gw-priority=z": "invalid gw-priority (z): invalid syntax",
	} {
		if err := n.Set(s); err == nil || err.Error() != want {
			t.Errorf("%q: got %v", s, err)
		}
	}
}

func TestParseDevice(t *testing.T) {
	for spec, want := range map[string]any{
		"/dev/sda":           container.DeviceMapping{PathOnHost: "/dev/sda", PathInContainer: "/dev/sda", CgroupPermissions: "rwm"},
		"/dev/sda:/dev/b":    container.DeviceMapping{PathOnHost: "/dev/sda", PathInContainer: "/dev/b", CgroupPermissions: "rwm"},
		"/dev/sda:r":         container.DeviceMapping{PathOnHost: "/dev/sda", PathInContainer: "/dev/sda", CgroupPermissions: "r"},
		"/dev/sda:/dev/b:rw": container.DeviceMapping{PathOnHost: "/dev/sda", PathInContainer: "/dev/b", CgroupPermissions: "rw"},
		"":                   "bad format for path: ",
		"/dev/a:/dev/b:rw:x": "bad format for path: /dev/a:/dev/b:rw:x",
		"/dev/a:/dev/b:rr":   "bad mode specified: rr",
		"relative":           "relative is not an absolute path",
		"/dev/a:relative":    "relative is not an absolute path",
	} {
		d, err := ParseDevice(spec)
		if err != nil {
			if err.Error() != want {
				t.Errorf("%q: got %q, want %q", spec, err, want)
			}
		} else if d != want {
			t.Errorf("%q: got %+v", spec, d)
		}
	}
	if !IsCDIName("vendor.com/class=all") || IsCDIName("/dev/sda") || IsCDIName("/a/b=c") {
		t.Error("CDI names are told from paths wrongly")
	}
}

func TestValues(t *testing.T) {
	var (
		b   Bytes
		s   SwapBytes
		c   CPUs
		g   GPUs
		w   Weights
		r   Rates
		u   Ulimits
		ops = Rates{IOps: true}
	)
	type flag interface {
		Set(string) error
		String() string
	}
	for _, tc := range []struct {
		f         flag
		in, value string
		err       string
	}{
		{&b, "512m", "512MiB", ""},
		{&b, "x", "", "invalid size: 'x'"},
		{&s, "-1", "-1B", ""},
		{&c, "1.5", "1.500", ""},
		{&c, "1/3", "", "value is too precise"},
		{&c, "many", "", "failed to parse many as a rational number"},
		{&c, "99999999999999", "", "value is out of range"},
		{&g, "all", "{ -1 [] [[gpu]] map[]}", ""},
		{&g, "count=x", "", `invalid count (x): value must be either "all" or an integer: invalid syntax`},
		{&g, "1,count=2", "", "gpu request key 'count' can be specified only once"},
		{&w, "/dev/sda:100", "[/dev/sda:100]", ""},
		{&w, "/dev/sda:5", "", "invalid weight for device: /dev/sda:5"},
		{&w, "sda:100", "", "bad format for device path: sda:100"},
		{&r, "/dev/sda:1mb", "[/dev/sda:1048576]", ""},
		{&ops, "/dev/sda:1000", "[/dev/sda:1000]", ""},
		{&ops, "/dev/sda:1mb", "", "invalid rate for device: /dev/sda:1mb. The correct format is <device-path>:<number>. Number must be a positive integer"},
		{&u, "nofile=1024:2048", "[nofile=1024:2048]", ""},
		{&u, "nofile=5:1", "", "ulimit soft limit must be less than or equal to hard limit: 5 > 1"},
	} {
		err := tc.f.Set(tc.in)
		if tc.err != "" {
			if err == nil || err.Error() != tc.err {
				t.Errorf("%T %q: error %v, want %q", tc.f, tc.in, err, tc.err)
			}
			continue
		}
		if err != nil || tc.f.String() != tc.value {
			t.Errorf("%T %q: %v, got %q, want %q", tc.f, tc.in, err, tc.f.String(), tc.value)
		}
	}
}

func TestChecks(t *testing.T) {
	t.Setenv("BERTH_TEST_VALUE", "from env")
	for _, tc := range []struct {
		check    func(string) (string, error)
		in, want string
	}{
		{CheckEnv, "A=b=c", "A=b=c"},
		{CheckEnv, "BERTH_TEST_VALUE", "BERTH_TEST_VALUE=from env"},
		{CheckEnv, "BERTH_TEST_UNSET", "BERTH_TEST_UNSET"},
		{CheckEnv, "=x", "invalid environment variable: =x"},
		{CheckIP, " 8.8.8.8", "8.8.8.8"},
		{CheckIP, "8.8", "IP address is not correctly formatted: 8.8"},
		{CheckLabel, "a b=c", "label 'a b' contains whitespaces"},
		{CheckLabel, "=c", "invalid label '=c': empty name"},
		{CheckAttach, "STDOUT", "stdout"},
		{CheckAttach, "x", "valid streams are STDIN, STDOUT and STDERR"},
		{CheckSysctl, "net.core.somaxconn=1", "net.core.somaxconn=1"},
		{CheckSysctl, "kernel.hostname=x", "sysctl 'kernel.hostname=x' is not allowed"},
		{CheckLink, "a:b:c", "bad format for links: a:b:c"},
		{CheckHostEntry, "h=1.2.3.4", "h:1.2.3.4"},
		{CheckHostEntry, "h:[::1]", "h:::1"},
		{CheckHostEntry, "h:host-gateway", "h:host-gateway"},
		{CheckHostEntry, "h:x", `invalid IP address in add-host: "x"`},
		{CheckHostEntry, "h", `bad format for add-host: "h"`},
		{CheckDomain, "example.com.", "example.com"},
		{CheckDomain, ".", "."},
		{CheckDomain, "1.2", "1.2 is not a valid domain"},
		{CheckDeviceRule, "c 1:3 mr", "c 1:3 mr"},
		{CheckDeviceRule, "x 1:3 mr", "invalid device cgroup format 'x 1:3 mr'"},
	} {
		got, err := tc.check(tc.in)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestReadPairs(t *testing.T) {
	lookup := func(k string) (string, bool) { return "env-" + k, k == "FROM" }
	got, err := ReadPairs(strings.NewReader("\xEF\xBB\xBFA=1\n# comment\n\n  B= two \nFROM\nUNSET\nC=a=b\n"), lookup)
	want := []string{"A=1", "B= two ", "FROM=env-FROM", "C=a=b"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	for in, want := range map[string]string{
		"=x":       "no variable name on line '=x'",
		"a b=c":    "variable 'a b' contains whitespaces",
		"a=\xff\n": "invalid utf8 bytes at line 1: [97 61 255]",
	} {
		if _, err := ReadPairs(strings.NewReader(in), lookup); err == nil || err.Error() != want {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

func TestSecurity(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(profile, []byte("{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, unconfined, err := Security([]string{"seccomp=" + profile, "no-new-privileges", "apparmor:x", "systempaths=unconfined", "seccomp=unconfined"})
	want := []string{`seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`, "no-new-privileges", "apparmor:x", "seccomp=unconfined"}
	if err != nil || !unconfined || !reflect.DeepEqual(out, want) {
		t.Errorf("got %q, %v, %v", out, unconfined, err)
	}
	if _, _, err := Security([]string{"label"}); err == nil || err.Error() != `Invalid --security-opt: "label"` {
		t.Errorf("got %v", err)
	}
	if _, _, err := Security([]string{"seccomp=/nonexistent"}); err == nil || !strings.HasPrefix(err.Error(), "opening seccomp profile (/nonexistent) failed: ") {
		t.Errorf("got %v", err)
	}
}

func TestParsePlatform(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64": "linux/amd64/", "linux/aarch64": "linux/arm64/", "arm64": "linux/arm64/",
		"linux/arm/v6": "linux/arm/v6", "linux/arm": "linux/arm/v7", "linux/arm64/v8": "linux/arm64/",
		"LINUX/x86_64": "linux/amd64/",
	} {
		p, err := ParsePlatform(in)
		if err != nil || p.OS+"/"+p.Architecture+"/"+p.Variant != want {
			t.Errorf("%q: got %+v, %v", in, p, err)
		}
	}
	for _, in := range []string{"", "linux/", "a/b/c/d", "li nux"} {
		if p, err := ParsePlatform(in); err == nil {
			t.Errorf("%q: got %+v", in, p)
		}
	}
}

func TestParseRestart(t *testing.T) {
	for in, want := range map[string]string{
		"no": "no 0", "on-failure:3": "on-failure 3", "always": "always 0", "": " 0",
		":3":           "invalid restart policy format: no policy provided before colon",
		"on-failure:x": "invalid restart policy format: maximum retry count must be an integer",
	} {
		p, err := ParseRestart(in)
		got := fmt.Sprint(p.Name, " ", p.MaximumRetryCount)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestListAndFilter(t *testing.T) {
	var f Filter
	for _, s := range []string{"status=exited", "Label = a=b ", "status=created", ""} {
		if err := f.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]map[string]bool{"status": {"exited": true, "created": true}, "label": {"a=b": true}}
	if !reflect.DeepEqual(f.Values, want) {
		t.Errorf("got %v", f.Values)
	}
	if err := f.Set("x"); err == nil || err.Error() != "bad format of filter (expected name=value)" {
		t.Errorf("got %v", err)
	}
	if ports, err := ParseExpose("80-82/udp"); err != nil || len(ports) != 3 || ports[2].String() != "82/udp" {
		t.Errorf("got %v, %v", ports, err)
	}
	if _, err := ParseExpose("1:2"); err == nil {
		t.Error("--expose must not take a mapping")
	}
}
