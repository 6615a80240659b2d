package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/test/golden"
)

// now is two days after the objects below were created.
var now = time.Unix(1_700_000_000+48*3600, 0).UTC()

const id = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func containers() []container.Summary {
	return []container.Summary{
		{
			ID: id[7:], Names: []string{"/web/link", "/web"}, Image: "docker.io/library/nginx:1.27@" + id, ImageID: "sha256:ff" + id[9:],
			Command: "/docker-entrypoint.sh nginx -g 'daemon off;'", Created: 1_700_000_000,
			State: "running", Status: "Up 2 hours", SizeRw: 1234, SizeRootFs: 5_000_000,
			Labels: map[string]string{"b": "2", "a": "1"},
			Ports: []container.PortSummary{
				{IP: netip.MustParseAddr("0.0.0.0"), PrivatePort: 80, PublicPort: 8080, Type: "tcp"},
				{IP: netip.MustParseAddr("0.0.0.0"), PrivatePort: 90, PublicPort: 90, Type: "tcp"},
				{IP: netip.MustParseAddr("0.0.0.0"), PrivatePort: 91, PublicPort: 91, Type: "tcp"},
				{PrivatePort: 443, Type: "tcp"},
				{IP: netip.MustParseAddr("::"), PrivatePort: 80, PublicPort: 8080, Type: "tcp"},
			},
			Mounts: []container.MountPoint{
				{Name: "a-volume-with-a-long-name", Driver: "local"}, {Source: "/src"},
			},
			NetworkSettings:         &container.NetworkSettingsSummary{Networks: map[string]*network.EndpointSettings{"bridge": nil, "a": nil}},
			ImageManifestDescriptor: &ocispec.Descriptor{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
		},
		{ID: "short", Names: []string{"/job"}, Image: "sha256:0123456789ab", ImageID: id, Command: "true", Created: 1_700_000_000, State: "exited", Status: "Exited (0) 2 days ago"},
	}
}

func list[R any](t *testing.T, text string, h Header, rows []R) string {
	t.Helper()
	var b bytes.Buffer
	if err := List(&b, text, h, rows); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestContainers(t *testing.T) {
	t.Setenv("TZ", "UTC")
	time.Local = time.UTC
	for name, text := range map[string]string{
		"table":  ContainerTable + "\t{{.Size}}",
		"custom": `table {{.Names}}\t{{.Label "a"}}\t{{upper .State}}\t{{.Mounts}}\t{{.LocalVolumes}}\t{{.Networks}}\t{{.Platform}}`,
		"plain":  `{{.ID}}: {{json .Labels}} {{join (split .Image ":") "|"}} {{title .Status}} [{{pad .State 1 2}}] {{truncate .Command 5}} {{println .Names}}`,
		"json":   JSON,
	} {
		golden.Compare(t, "ps-"+name+".golden", list(t, text, ContainerHeader, Containers(containers(), name != "json", now)))
		if name == "table" {
			golden.Compare(t, "ps-no-trunc.golden", list(t, text, ContainerHeader, Containers(containers(), false, now)))
			golden.Compare(t, "ps-empty.golden", list(t, text, ContainerHeader, Containers(nil, true, now)))
		}
	}
}

func TestImages(t *testing.T) {
	time.Local = time.UTC
	images := []image.Summary{
		{
			ID: id, Created: 1_700_000_000, Size: 123_456_789, SharedSize: -1, Containers: -1,
			RepoTags:    []string{"nginx:1.27", "nginx:latest", "localhost:5000/nginx:latest"},
			RepoDigests: []string{"nginx@" + id, "other@" + id},
		},
		{ID: id, Size: 1000, SharedSize: 100, Containers: 2},
	}
	golden.Compare(t, "images-table.golden", list(t, ImageTable, ImageHeader, Images(images, true, false, now)))
	golden.Compare(t, "images-digests.golden", list(t, ImageDigestTable, ImageHeader, Images(images, true, true, now)))
	golden.Compare(t, "images-json.golden", list(t, JSON, ImageHeader, Images(images, false, false, now)))
}

func TestHistory(t *testing.T) {
	time.Local = time.UTC
	h := []image.HistoryResponseItem{
		{ID: id, Created: 1_700_000_000, CreatedBy: "RUN /bin/sh -c apt-get update\t&& apt-get install -y something # buildkit", Size: 4567, Comment: "buildkit.dockerfile.v0"},
		{ID: "<missing>", CreatedBy: "CMD [\"sh\"]"},
	}
	golden.Compare(t, "history-table.golden", list(t, HistoryTable, HistoryHeader, History(h, true, true, now)))
	golden.Compare(t, "history-plain.golden", list(t, HistoryPlainTable, HistoryHeader, History(h, false, false, now)))
}

func TestBadTemplates(t *testing.T) {
	var b bytes.Buffer
	for _, text := range []string{"{{.ID", "{{.NoSuchField}}", "table {{nofunc .ID}}"} {
		err := List(&b, text, ContainerHeader, Containers(containers(), true, now))
		if err == nil || b.Len() > 0 {
			t.Errorf("%q: %v, wrote %q", text, err, b.String())
		}
	}
}

func TestUses(t *testing.T) {
	for text, want := range map[string]bool{
		"{{.Size}}": true, "table {{.ID}}\t{{upper .Size}}": true, "{{json .}}": true, JSON: true,
		"{{.ID}}": false, "{{.SizeX}}": false, "Size": false, "{{.ID": false, "{{if .Size}}x{{end}}": true,
	} {
		if got := Uses(text, "Size"); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestInspect(t *testing.T) {
	get := func(name string) (Found, error) {
		if name == "none" {
			return Found{}, errors.New("Error: No such object: none")
		}
		v := struct{ Name string }{name}
		raw, err := json.Marshal(map[string]string{"Name": name, "Extra": "<x>"})
		return Found{v, raw}, err
	}
	for _, tc := range []struct {
		text  string
		names []string
		want  string
		err   string
	}{
		{"", []string{"a"}, "[\n    {\n        \"Extra\": \"\\u003cx\\u003e\",\n        \"Name\": \"a\"\n    }\n]\n", ""},
		{"", []string{"none"}, "[]\n", "Error: No such object: none"},
		{JSON, []string{"a", "none", "b"}, `[{"Extra":"\u003cx\u003e","Name":"a"},{"Extra":"\u003cx\u003e","Name":"b"}]` + "\n", "Error: No such object: none"},
		{"{{.Name}}", []string{"a", "b"}, "a\nb\n", ""},
		{"{{.Extra}}", []string{"a"}, "<x>\n", ""}, // known to the daemon only
		{"{{.Nothing}}", []string{"a"}, "\n", `template parsing error: template: :1:2: executing "" at <.Nothing>: map has no entry for key "Nothing"`},
		{"{{.Name}}", []string{"none"}, "\n", "Error: No such object: none"},
	} {
		var b bytes.Buffer
		err := Inspect(&b, tc.names, tc.text, get)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if b.String() != tc.want || text != tc.err {
			t.Errorf("%q %q: got %q, %q", tc.text, tc.names, b.String(), text)
		}
	}
	if err := Inspect(&bytes.Buffer{}, []string{"a"}, "{{", get); !errors.Is(err, ErrTemplate) {
		t.Errorf("got %v", err)
	}
}

func TestText(t *testing.T) {
	for _, tc := range []struct {
		in    string
		width int
		want  string
	}{
		{"short", 20, "short"},
		{"exactly ten", 11, "exactly ten"},
		{"longer than ten", 10, "longer th…"},
		{"x", 0, ""},
		{"日本語テキスト", 7, "日本語…"},
		{"äöüäöü", 4, "äöü…"},
	} {
		if got := Ellipsis(tc.in, tc.width); got != tc.want {
			t.Errorf("%q to %d: got %q", tc.in, tc.width, got)
		}
	}
	if got := ShortID(id); got != "0123456789ab" {
		t.Errorf("got %q", got)
	}
	if got := title("up 2 hours (it's fine)"); got != "Up 2 Hours (It's Fine)" {
		t.Errorf("got %q", got)
	}
}
