package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func load(t *testing.T, file string, args ...string) (*Config, error) {
	t.Helper()
	if file != "" {
		p := filepath.Join(t.TempDir(), "daemon.json")
		if err := os.WriteFile(p, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config-file", p)
	}
	return Load(args)
}

func TestDefaults(t *testing.T) {
	c, err := load(t, " \n")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c.Hosts, []string{DefaultHost}) || c.DataRoot != "/var/lib/berth" || c.Level() != slog.LevelInfo ||
		c.ShmSize != 64<<20 || c.MaxDownloads != 3 || c.StorageDriver != "overlayfs" {
		t.Errorf("%+v", c)
	}
}

func TestFlagsAndFile(t *testing.T) {
	_, err := load(t, "\ufeff"+`{"hosts": ["unix:///tmp/a.sock", "tcp://localhost"], "log-level": "warn", "labels": ["a=b"],
		"registry-mirrors": ["http://127.0.0.1:5000/"], "insecure-registries": ["10.0.0.0/8"], "tls": false,
		"registries": {"quay.io": {"mirrors": ["https://m"]}, "x:5000": {"insecure": true}, "docker.io": {"mirrors": ["https://n"]}},
		"default-shm-size": "128M", "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 10, "Hard": 20}}, "log-opts": {"max-size": "1m"}}`,
		"--storage-driver=overlay2", "-D", "--bip", "172.30.0.1/24", "--default-ulimit", "core=1:2")
	if err == nil || !strings.Contains(err.Error(), "default-ulimits: (from flag") {
		t.Fatalf("no conflict: %v", err)
	}
	c, err := load(t, `{"hosts": ["unix:///tmp/a.sock", "tcp://localhost"], "log-level": "warn", "labels": ["a=b"],
		"registry-mirrors": ["http://127.0.0.1:5000/"], "insecure-registries": ["10.0.0.0/8"],
		"registries": {"quay.io": {"mirrors": ["https://m"]}, "x:5000": {"insecure": true}, "docker.io": {"mirrors": ["https://n"]}},
		"default-shm-size": "128M", "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 10, "Hard": 20}}, "log-opts": {"max-size": "1m"}}`,
		"--storage-driver=overlay2", "-D", "--bip", "172.30.0.1/24", "--data-root", "/x/../y", "--tlsverify=false")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"docker.io": {"http://127.0.0.1:5000", "https://n"}, "quay.io": {"https://m"}}
	if !reflect.DeepEqual(c.Mirrors(), want) {
		t.Errorf("mirrors %v", c.Mirrors())
	}
	if got := c.Insecure(); !reflect.DeepEqual(got, []string{"10.0.0.0/8", "x:5000"}) {
		t.Errorf("insecure %v", got)
	}
	if c.Level() != slog.LevelDebug || c.DataRoot != "/y" || c.StorageDriver != "overlayfs" || c.ShmSize != 128<<20 ||
		c.Ulimits["nofile"].Hard != 20 || c.LogOpts["max-size"] != "1m" || c.Hosts[1] != "tcp://localhost:2375" || c.UseTLS() {
		t.Errorf("%+v", c)
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct{ file, args, want string }{
		{"", "--nosuch", "unknown flag: --nosuch"},
		{"", "--mtu abc", `invalid argument "abc" for "--mtu"`},
		{"", "start", "accepts no arguments"},
		{"", "--config-file /nonexistent/x.json", "unable to configure the Berth daemon with file /nonexistent/x.json"},
		{`{"debug": true`, "", "invalid JSON"},
		{`[]`, "", "invalid JSON"},
		{`{"debug": true} x`, "", "invalid JSON"},
		{`{"foo": 1, "bar": 2}`, "", "the following directives don't match any configuration option: bar, foo"},
		{`{"Debug": true}`, "", "don't match any configuration option: Debug"},
		{`{"config-file": "x"}`, "", "don't match any configuration option"},
		{`{"debug": "yes"}`, "", "directive debug: a JSON string does not fit, want bool"},
		{`{"debug": true}`, "--debug=false", "specified both as a flag and in the configuration file: debug: (from flag: false, from file: true)"},
		{`{"hosts": ["unix:///a"]}`, "-H unix:///b", "hosts: (from flag: [unix:///b], from file: [\"unix:///a\"])"},
		{`{"tlsverify": true}`, "--tlsverify", "tlsverify: (from flag: true"},
		{"", "--log-level loud", "invalid logging level: loud"},
		{"", "--log-format xml", "invalid log format: xml"},
		{"", "--log-driver splunk", "no log driver named 'splunk'"},
		{"", "--storage-driver vfs", "driver not supported: vfs"},
		{"", "--data-root=", "data-root must not be empty"},
		{"", "--data-root=/tmp/..", "data-root must not be /"},
		{"", "-H http://x", "unsupported proto 'http'"},
		{"", "-H unix://rel", "must be absolute"},
		{"", "-H tcp://h:99999", "invalid port"},
		{"", "-H tcp://0.0.0.0", "use --tlsverify"},
		{"", "-H unix:///a -H unix:///a", "given twice"},
		{"", "-H tcp://127.0.0.1 --tls", "needs tlscert and tlskey"},
		{"", "--tlsverify --tlscert a --tlskey b", "tlsverify needs tlscacert"},
		{"", "--registry-mirror ftp://x", "must use either"},
		{"", "--registry-mirror http://x/path", "path, query, or fragment"},
		{"", "--registry-mirror http://u:secret@x", "username/password not allowed"},
		{"", "--insecure-registry http://x", "should not contain '://'"},
		{"", "--insecure-registry a/b", "should be HOST[:PORT]"},
		{`{"image-gc": {"tagged": true}}`, "", "tagged without a limit"},
		{`{"image-gc": {"keep": "1GB"}}`, "", "unknown field"},
		{`{"image-gc": {"unusedFor": "soon"}}`, "", "a time is written as"},
		{`{"image-compact-after": "-1s"}`, "", "a time is written as"},
		{`{"registries": {"10.0.0.0/8": {}}}`, "", "should be HOST[:PORT]"},
		{"", "--max-concurrent-downloads 0", "invalid max concurrent downloads: 0"},
		{"", "--mtu -1", "invalid mtu"},
		{"", "--bridge a/b", "invalid bridge name"},
		{"", "--bridge none", "not supported"},
		{"", "--bip 10.0.0.0/24", "not the IPv4 address of a host"},
		{"", "--bip fe80::1/64", "not the IPv4 address of a host"},
		{"", "--bip 10.0.0.1", "invalid CIDR address"},
		{"", "--ipv6 --bip6 fe80::1/64", "invalid bip6: fe80::1/64 is not the IPv6 address of a host"},
		{"", "--ipv6 --bip6 10.0.0.1/24", "not the IPv6 address of a host"},
		{"", "--fixed-cidr-v6 fd00::/64", "need ipv6"},
		{"", "--fixed-cidr x", "invalid CIDR address: x"},
		{"", "--fixed-cidr fd00::/64", "not one of containers' networks"},
		{"", "--bip 10.0.0.1/24 --fixed-cidr 10.0.1.0/25", "10.0.1.0/25 is not within 10.0.0.0/24"},
		{"", "--bip 10.0.0.1/24 --default-gateway 10.0.1.9", "10.0.1.9 is not an address of the default network"},
		{"", "--default-gateway x", "not an address of the default network"},
		{`{"ip":"x"}`, "", "is not an IP address"},
		{"", "--bridge-accept-fwmark x", "invalid firewall mark"},
		{"", "--bridge-accept-fwmark 1/0", "invalid firewall mask"},
		{"", "--allow-direct-routing --publish-policy loopback", "choose one"},
		{"", "--label x", "bad attribute format: x"},
		{"", "--label a=1 --label a=2", "conflict labels"},
		{"", "--default-shm-size 0", "must be positive"},
		{"", "--default-shm-size x", "invalid argument"},
		{"", "--default-ulimit nofile=9:1", "ulimit"},
		{`{"default-ulimits": {"nofile": null}}`, "", "invalid default-ulimits: nofile"},
		{"", "--live-restore=false", "cannot be switched off"},
		{"", "--log-opt x", "must be key=value"},
		{"", "--exec-opt x", "NAME=VALUE"},
		{"", "--exec-opt native.umask=normal", "unknown option native.umask"},
		{"", "--exec-opt native.cgroupdriver=openrc", "cgroupfs or systemd"},
		{"", "--cgroup-parent a.slice", "does not go with native.cgroupdriver=cgroupfs"},
		{`{"exec-opts": ["native.cgroupdriver=systemd"]}`, "--cgroup-parent /a", "does not go with native.cgroupdriver=systemd"},
		{"", "--add-runtime x", "must be name=path"},
		{"", "--add-runtime x=/a --add-runtime x=/b", "given twice"},
		{"", "--add-runtime berth=/a", "Berth's own"},
		{"", "--add-runtime x=", "x has no path"},
		{"", "--default-runtime x", "there is no runtime x"},
		{`{"runtimes": {"x": {"runtimeType": "io.containerd.kata.v2"}}}`, "", "containerd's shims"},
		{`{"runtimes": {"x": {"path": "/a"}}}`, "--add-runtime y=/b", "runtimes: (from flag"},
	} {
		_, err := load(t, tc.file, strings.Fields(tc.args)...)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %s: %v, want %q", tc.file, tc.args, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("leaks a password: %v", err)
		}
	}
}

func TestRuntimes(t *testing.T) {
	c, err := load(t, `{"runtimes": {"crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--debug"]}, "sh": {"path": "sh"}, "no": {"path": "nosuch-runtime"}}, "default-runtime": "crun"}`)
	if err != nil {
		t.Fatal(err)
	}
	all := c.Commands()
	if c.DefaultRuntime != "crun" || !reflect.DeepEqual(all["crun"], []string{"/usr/bin/crun", "--debug"}) || !filepath.IsAbs(all["sh"][0]) || all["no"][0] != "nosuch-runtime" {
		t.Errorf("%+v", all)
	}
	if c, err = load(t, "", "--add-runtime", "runc=/usr/sbin/runc", "--add-runtime=a=/b"); err != nil || len(c.Commands()) != 2 {
		t.Errorf("%v, %+v", err, c)
	}
}

func TestHosts(t *testing.T) {
	for in, want := range map[string]string{
		"unix:///run/a//b.sock": "unix:///run/a/b.sock",
		"tcp://:7":              "tcp://127.0.0.1:7",
		"tcp://":                "tcp://127.0.0.1:2376",
		"tcp://[::1]":           "tcp://[::1]:2376",
		"tcp://[::1]:5/":        "tcp://[::1]:5",
		"::1":                   "tcp://[::1]:2376",
		"example.com":           "tcp://example.com:2376",
		"fd://":                 "fd://",
		"fd://*":                "fd://",
		"fd://api.socket":       "fd://api.socket",
	} {
		h, err := ParseHost(in, true)
		if err != nil || h.String() != want {
			t.Errorf("%s: %v %v, want %s", in, h, err, want)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	c, err := Load([]string{"--help"})
	if err != nil || !strings.Contains(c.Help, "--data-root") {
		t.Errorf("%v %+v", err, c)
	}
	if c, err = Load([]string{"-v", "--config-file", "/nonexistent"}); err != nil || !c.Version {
		t.Errorf("%v %+v", err, c)
	}
}

// Every flag that is a setting has its key, and every key but Berth's own, and
// those that are keys alone in dockerd, has its flag.
func TestFlagsMatchKeys(t *testing.T) {
	all := keys()
	fs := newFlags(defaults())
	for k := range all {
		found := slices.Contains([]string{"registries", "host-gateway-ips", "builder", "image-gc"}, k)
		fs.VisitAll(func(f *pflag.Flag) { found = found || keyOf(f.Name) == k })
		if !found {
			t.Errorf("no flag for key %s", k)
		}
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if k := keyOf(f.Name); k != "" && !all[k] && refusedKey(k) == nil {
			t.Errorf("no key %s for flag %s", k, f.Name)
		}
	})
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"debug":true,"hosts":["unix:///a"],"default-shm-size":"1g","registries":{"a":{"mirrors":["http://b"]}}}`))
	f.Add([]byte(`{"default-ulimits":{"nofile":{"Soft":1}},"tls":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := defaults()
		if c.merge(data, newFlags(defaults())) != nil || c.validate() != nil {
			return
		}
		for _, h := range c.Hosts {
			if _, err := ParseHost(h, c.UseTLS()); err != nil {
				t.Errorf("accepted host %q does not parse again: %v", h, err)
			}
		}
		if c.ShmSize <= 0 || c.MaxDownloads < 1 || c.DataRoot == "/" {
			t.Errorf("accepted %+v", c)
		}
	})
}

func TestCgroupDriver(t *testing.T) {
	for _, tc := range []struct{ args, driver, slice string }{
		{"", "cgroupfs", ""},
		{"--cgroup-parent /a", "cgroupfs", ""},
		{"--exec-opt native.cgroupdriver=systemd", "systemd", "system.slice"},
		{"--exec-opt native.cgroupdriver=systemd --cgroup-parent a-b.slice", "systemd", "a-b.slice"},
		{"--exec-opt native.cgroupdriver=systemd --exec-opt native.cgroupdriver=cgroupfs", "cgroupfs", ""},
	} {
		c, err := load(t, "", strings.Fields(tc.args)...)
		if err != nil {
			t.Errorf("%s: %v", tc.args, err)
			continue
		}
		if c.CgroupDriver() != tc.driver || c.Slice() != tc.slice {
			t.Errorf("%s: driver %s, slice %q", tc.args, c.CgroupDriver(), c.Slice())
		}
	}
}
