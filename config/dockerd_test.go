package config

import (
	"flag"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// walk reads the list of dockerd's settings.
func walk(t *testing.T) (rows [][2]string) {
	t.Helper()
	data, err := os.ReadFile("testdata/dockerd-29.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 2 && !strings.HasPrefix(line, "#") {
			rows = append(rows, [2]string{strings.TrimPrefix(f[0], "-"), strings.TrimPrefix(f[1], "-")})
		}
	}
	return rows
}

// Each setting of dockerd is one of ours or is refused with a reason, as a flag
// and as a key, and none is passed over in silence.
func TestDockerd(t *testing.T) {
	fs := newFlags(defaults())
	for _, row := range walk(t) {
		flag, key := row[0], row[1]
		if flag != "" && flag != "help" && fs.Lookup(flag) == nil {
			t.Errorf("--%s is neither ours nor refused", flag)
		}
		if key != "" && !ours(key) && refusedKey(key) == nil {
			t.Errorf("key %s is neither ours nor refused", key)
		}
		if flag != "" && key != "" && keyOf(flag) != key {
			t.Errorf("the key of --%s is %q, want %q", flag, keyOf(flag), key)
		}
	}
}

// What is refused says why; a value that asks for nothing is accepted.
func TestRefusals(t *testing.T) {
	loud := map[string]string{"bool": "true", "string": "192.0.2.7", "list": `["x=y"]`, "map": `{"x":{"y":"z"}}`}
	for i := range refusals {
		r := &refusals[i]
		if r.reason == "" || r.key == "" && r.flag == "" || loud[r.means] == "" {
			t.Errorf("%+v is not complete", r)
		}
		if r.key == "" || ours(r.key) {
			continue
		}
		value := loud[r.means]
		if r.means == "bool" && slices.Contains(r.harmless, "true") {
			value = "false"
		}
		quiet := slices.Contains(r.harmless, "true") && slices.Contains(r.harmless, "false")
		text := value
		if r.means == "string" {
			text = `"` + value + `"`
		}
		_, err := load(t, `{"`+r.key+`":`+text+`}`)
		if quiet != (err == nil) || err != nil && (!strings.Contains(err.Error(), r.reason) || !strings.Contains(err.Error(), r.key)) {
			t.Errorf("%s: %s: %v", r.key, text, err)
		}
		if r.flag != "" {
			_, err := load(t, "", "--"+r.flag+"="+strings.Trim(value, `[]"`))
			if quiet != (err == nil) || err != nil && !strings.Contains(err.Error(), r.reason) {
				t.Errorf("--%s: %v", r.flag, err)
			}
		}
		for _, h := range r.harmless {
			if r.means == "bool" || r.means == "list" && strings.HasPrefix(h, "[") || r.means == "map" {
				if _, err := load(t, `{"`+r.key+`":`+h+`}`); err != nil {
					t.Errorf("%s: %s: %v", r.key, h, err)
				}
			}
			if r.flag != "" && !strings.ContainsAny(h, "[{") {
				if _, err := load(t, "", "--"+r.flag+"="+h); err != nil {
					t.Errorf("--%s=%s: %v", r.flag, h, err)
				}
			}
		}
	}
}

// The list is complete for the dockerd of this machine, if there is one.
func TestDockerdOfThisMachine(t *testing.T) {
	path, err := exec.LookPath("dockerd")
	if err != nil {
		return // the list is what counts
	}
	out, err := exec.CommandContext(t.Context(), path, "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	removed := []string{"add-host", "allow-nondistributable-artifacts", "api-cors-header"} // since, or of podman
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-[a-zA-Z], )?--([a-z0-9-]+)`).FindAllStringSubmatch(string(out), -1) {
		known := slices.ContainsFunc(walk(t), func(r [2]string) bool { return r[0] == m[1] })
		if !known && !slices.Contains(removed, m[1]) {
			t.Errorf("dockerd has --%s, the list has not", m[1])
		}
	}
}

func TestContainerDefaults(t *testing.T) {
	c, err := load(t, `{"dns":["9.9.9.9"],"dns-opts":["ndots:2"],"dns-search":["x.test"],"default-ipc-mode":"shareable","default-cgroupns-mode":"host",
		"host-gateway-ips":["fe80::1","10.1.2.3"],"features":{"buildkit":true,"containerd-snapshotter":true},"experimental":true,
		"proxies":{"http-proxy":"http://p:1","no-proxy":"localhost"},"userland-proxy":false,"iptables":true}`)
	if err != nil {
		t.Fatal(err)
	}
	env := c.Proxies.Environ()
	if c.DNS[0] != "9.9.9.9" || c.IPCMode != "shareable" || c.GatewayIP() != "10.1.2.3" || env["http_proxy"] != "http://p:1" || env["NO_PROXY"] != "localhost" || len(env) != 4 {
		t.Errorf("%+v %v", c, env)
	}
	for file, want := range map[string]string{
		`{"dns":["x"]}`: "not an IP address", `{"dns-search":["a b"]}`: "not a domain", `{"dns-opts":[""]}`: "invalid dns-opts",
		`{"default-ipc-mode":"host"}`: "want private or shareable", `{"default-cgroupns-mode":"x"}`: "want private or host",
		`{"features":{"buildkit":false}}`: "always true", `{"features":{"nonsense":true}}`: "not one that this version knows",
		`{"host-gateway-ip":"x"}`: "not an IP address", `{"host-gateway-ip":"1.1.1.1","host-gateway-ips":["1.1.1.1"]}`: "cannot both", `{"proxies":{"http-proxy":"a b"}}`: "not a URL",
	} {
		if _, err := load(t, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if c, err := load(t, "", "--feature", "buildkit", "--dns=1.1.1.1", "--experimental", "--icc"); err != nil || !c.Features["buildkit"] {
		t.Error(c, err)
	}
}

var update = flag.Bool("update", false, "rewrite docs/daemon.md")

// TestDocs: docs/daemon.md says of each setting of dockerd what becomes of it.
func TestDocs(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Settings of the daemon\n\nMade by `go test ./config -run TestDocs -update`; the same test fails when this page is out of date.\n\n" +
		"`berthd` takes dockerd's flags and the keys of its `daemon.json` (here `" + DefaultFile + "`). A setting that it does not\n" +
		"have is refused with a reason, unless its value asks for nothing else than what happens anyway. SIGHUP reads the file\n" +
		"again and applies `authorization-plugins`, `debug`, `default-runtime`, `image-gc`, `insecure-registries`, `labels`, `log-level`,\n" +
		"`max-concurrent-downloads`, `max-concurrent-uploads`, `max-download-attempts`, `registries`, `registry-config-dirs`,\n" +
		"`registry-mirrors`, `runtimes`, `shutdown-timeout` and `signature-policy`; of other changes the log says that they count after the next\n" +
		"start. Containers always outlive the\n" +
		"daemon: `live-restore` cannot be switched off. Berth's own are `registries`, `registry-config-dirs`, `signature-policy`, `image-compact-after`, `image-gc`, `prepared` and `publish-policy`.\n\n" +
		"| flag | key | |\n|---|---|---|\n")
	dash := func(prefix, s string) string {
		if s == "" {
			return "–"
		}
		return "`" + prefix + s + "`"
	}
	for _, row := range walk(t) {
		text := "honoured"
		if r := refusedKey(row[1]); row[1] != "" && r != nil {
			text = "refused: " + r.reason
			if len(r.harmless) > 0 {
				text += " (accepted: `" + strings.Join(r.harmless, "`, `") + "`)"
			}
		}
		b.WriteString("| " + dash("--", row[0]) + " | " + dash("", row[1]) + " | " + text + " |\n")
	}
	const page = "../docs/daemon.md"
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a page to read
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(page); err != nil || string(data) != b.String() {
		t.Errorf("docs/daemon.md is out of date (%v): run this test with -update", err)
	}
}
