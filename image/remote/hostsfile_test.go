package remote

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// line describes an endpoint.
func (e *endpoint) line() string {
	can := ""
	for i, c := range []docker.HostCapabilities{docker.HostCapabilityPull, docker.HostCapabilityResolve, docker.HostCapabilityPush} {
		if e.can.Has(c) {
			can += "lrp"[i : i+1]
		}
	}
	s := fmt.Sprintf("%s mirror=%v can=%s", e.url, e.mirror, can)
	if t := e.trust; t.skipVerify || t.dialTime > 0 || len(t.authorities)+len(t.identities) > 0 {
		s += fmt.Sprint(" ", t.authorities, t.identities, t.skipVerify, t.dialTime)
	}
	if len(e.header) > 0 {
		s += fmt.Sprint(" ", e.header)
	}
	return s
}

// TestHostsFile: what containerd's documentation shows is understood as it says.
func TestHostsFile(t *testing.T) {
	for _, c := range []struct {
		file string
		own  bool
		want []string // or an error
	}{
		{"", true, nil},
		{`server = "https://registry-1.docker.io"
[host."https://z.example"]
  capabilities = ["pull", "resolve", "push"]
[host."http://a.example:5000/v2/prefix/"]
  capabilities = ["pull"]
  override_path = true
[host."push.example"]
  capabilities = ["push"]`, true, []string{
			"https://z.example/v2 mirror=true can=lr",
			"http://a.example:5000/v2/prefix mirror=true can=l",
			"https://registry-1.docker.io/v2 mirror=false can=lrp",
		}},
		{`server = "m.example"`, false, []string{"https://m.example/v2 mirror=true can=lr"}},
		{`ca = "ca.pem"
skip_verify = false
client = [["a.cert", "/k/a.key"], ["b.pem"]]
dial_timeout = "3s"
[host."m/x"]
ca = ["a", "b"]
client = "one.pem"
skip_verify = true
[host."m/x".header]
  X-Key = "1"
  x-more = ["2", "3"]`, true, []string{
			"https://m/x/v2 mirror=true can=lr [/d/a /d/b] [[/d/one.pem /d/one.pem]] true 0s map[X-Key:[1] X-More:[2 3]]",
			"https://quay.io/v2 mirror=false can=lrp [/d/ca.pem] [[/d/a.cert /k/a.key] [/d/b.pem /d/b.pem]] false " + (3 * time.Second).String(),
		}},
		{`server = `, true, []string{"toml"}},
		{"sever = \"x\"", true, []string{"unknown setting"}},
		{`server = "ftp://x"`, true, []string{"not the URL of a registry"}},
		{`server = "https://u:secret@x"`, true, []string{"not the URL of a registry"}},
		{`[host."m"]` + "\ncapabilities = [\"fly\"]", true, []string{"unknown capability"}},
		{`[host."m"]` + "\nca = 1", true, []string{"ca: 1 is neither"}},
		{`[host."m"]` + "\nclient = [[\"a\", \"b\", \"c\"]]", true, []string{"3 files"}},
		{`[host."m"]` + "\ndial_timeout = \"-1s\"", true, []string{"no duration"}},
		{`[host."m".header]` + "\nx = [1]", true, []string{"1 is no text"}},
	} {
		list, err := parseHosts([]byte(c.file), "/d", "quay.io", c.own)
		if err != nil {
			if len(c.want) != 1 || !strings.Contains(err.Error(), c.want[0]) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", c.file, err)
			}
			continue
		}
		var got []string
		for i := range list {
			got = append(got, list[i].line())
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", c.file, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func FuzzHostsFile(f *testing.F) {
	f.Add([]byte("server = \"https://a\"\n[host.\"b\"]\ncapabilities = [\"pull\"]\n[host.\"b\".header]\nx = \"y\""), true)
	f.Fuzz(func(t *testing.T, data []byte, own bool) {
		list, err := parseHosts(data, "/d", "quay.io", own)
		if err != nil {
			return
		}
		for i, e := range list {
			if e.url.User != nil || e.url.Scheme != "http" && e.url.Scheme != "https" || e.url.Host == "" {
				t.Errorf("address %s", e.url)
			}
			if e.mirror && e.can.Has(docker.HostCapabilityPush) || !e.mirror && i != len(list)-1 {
				t.Errorf("%d: %s", i, e.line())
			}
		}
	})
}

// TestHostDirectories: which directory counts, and what Docker's hold.
func TestHostDirectories(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, name := range []string{
		first + "/a.example:5000/ca.crt", first + "/a.example:5000/client.cert", first + "/a.example:5000/client.key",
		second + "/a.example:5000/other.crt", second + "/b.example_5000_/b.crt", second + "/_default/any.crt",
		second + "/broken/x.cert", second + "/halved/x.key",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := Registries{ConfigDirs: []string{first, second, "/nonexistent"}}
	for domain, want := range map[string]string{
		"a.example:5000": fmt.Sprintf("{[%s/a.example:5000/ca.crt] [[%[1]s/a.example:5000/client.cert %[1]s/a.example:5000/client.key]] false 0}", first),
		"b.example:5000": fmt.Sprintf("{[%s/b.example_5000_/b.crt] [] false 0}", second),
		"a.example":      fmt.Sprintf("{[%s/_default/any.crt] [] false 0}", second),
		"broken":         "x.key is missing",
		"halved":         "x.cert is missing",
	} {
		got, err := r.certificates(domain)
		if text := fmt.Sprint(got); err != nil && !strings.Contains(err.Error(), want) || err == nil && text != want {
			t.Errorf("%s: %s, %v; want %s", domain, text, err, want)
		}
	}
}

// TestRedirectsLeave: where a registry may not send us.
func TestRedirectsLeave(t *testing.T) {
	for _, c := range []struct {
		home, to string
		insecure bool
		ok       bool
	}{
		{"https://r.example", "https://cdn.example/blob", false, true},
		{"https://r.example", "http://cdn.example/blob", false, false},
		{"https://r.example", "http://cdn.example/blob", true, true},
		{"http://r.example", "http://cdn.example/blob", false, true},
		{"https://r.example", "https://169.254.169.254/latest", false, false},
		{"http://r.example", "http://127.0.0.1:2375/info", false, false},
		{"http://r.example", "http://[::1]/", false, false},
		{"http://r.example", "http://localhost/", false, false},
		{"http://localhost:5000", "http://127.0.0.1:9000/blob", false, true},
	} {
		home, _ := url.Parse(c.home)
		to, _ := url.Parse(c.to)
		a := newAuthorizer(New().client(t), home, c.insecure, nil)
		if err := a.leaves(to); (err == nil) != c.ok {
			t.Errorf("%s to %s: %v", c.home, c.to, err)
		}
	}
}
