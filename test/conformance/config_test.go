package conformance

import (
	"encoding/json"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestConfig is config.md but for mounts, process and hooks.
func TestConfig(t *testing.T) {
	hold(t, []must{
		{"config.md#specification-version", "1.0.0 to 1.3.0 are taken", versionsTaken},
		{"config.md#specification-version", "an error unless SemVer", versionsRefused},
		{"config.md#root", "an error without a root", refused(func(s *specs.Spec) { s.Root = nil })},
		{"config.md#root", "path may be relative to the bundle", inside("root", "cat /etc/passwd | cut -d: -f1")},
		{"config.md#root", "path may be absolute", rootAbsolute},
		{"config.md#root", "an error unless a directory is at path", refused(func(s *specs.Spec) { s.Root.Path = "nowhere" })},
		{"config.md#root", "readonly", inside("no", "touch /x 2>/dev/null && echo yes || echo no", func(s *specs.Spec) { s.Root.Readonly = true })},
		{"config.md#root", "not readonly by default", inside("yes", "touch /x && echo yes")},
		{"config.md#hostname", "is set in the UTS namespace", inside("a.name", "hostname", func(s *specs.Spec) { s.Hostname = "a.name" })},
		{"config.md#domainname", "is set in the UTS namespace", inside("b.name", "cat /proc/sys/kernel/domainname", func(s *specs.Spec) { s.Domainname = "b.name" })},
		{"config.md#annotations", "an unknown key is no error", accepted(func(s *specs.Spec) {
			s.Annotations = map[string]string{"x.example": "", "org.opencontainers.image.created": "y"}
		})},
		{"config.md#annotations", "an error for an empty key", refused(func(s *specs.Spec) { s.Annotations = map[string]string{"": "x"} })},
		{"config.md#annotations", "a value that is no string is an error", badJSON(`"annotations":{"a":1}`)},
		{"config.md#extensibility", "unknown properties are ignored", unknownIgnored},
		{"config.md#valid-values", "an error for a namespace type that is unknown", refused(with("galaxy", ""))},
		{"config.md#valid-values", "an error for a capability that is unknown or a warning", capabilityUnknown},
		{"config.md#valid-values", "an error for a value of another type", badJSON(`"hostname":7`)},
		{"glossary.md#json", "an error unless UTF-8", badJSON("\"hostname\":\"\xff\"")},
		{"config.md#valid-values", "an error for a truncated file", func(t *testing.T) {
			b := newBox(t)
			b.writeConfig(`{"ociVersion": "1.0.2", "root": {"path": "rootfs"`)
			if b.create() == nil {
				t.Error("create succeeds")
			}
		}},
	})
}

func versionsTaken(t *testing.T) {
	for _, v := range []string{"1.0.0", "1.0.2", "1.1.0", "1.2.0", "1.2.1", "1.3.0", "1.0.2-dev"} {
		b := newBox(t, func(s *specs.Spec) { s.Version = v })
		if err := b.create(); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

func versionsRefused(t *testing.T) {
	for _, v := range []string{"", "1", "1.0", "one", "1.0.0.0", "01.0.0"} {
		b := newBox(t, func(s *specs.Spec) { s.Version = v })
		if b.create() == nil {
			t.Errorf("%q is taken", v)
		}
	}
}

func rootAbsolute(t *testing.T) {
	b := newBox(t)
	b.spec.Root.Path = b.rootfs("")
	b.spec.Process.Args = []string{"/bin/echo", "here"}
	b.write()
	if out := b.run(); out != "here\n" {
		t.Errorf("printed %q", out)
	}
}

// badJSON puts a property into an otherwise good configuration.
func badJSON(property string) func(*testing.T) {
	return func(t *testing.T) {
		b := newBox(t)
		data, err := json.Marshal(b.spec)
		check(t, err)
		b.writeConfig("{" + property + "," + strings.TrimPrefix(string(data), "{"))
		if b.create() == nil || b.exists() {
			t.Error("create succeeds")
		}
	}
}

func unknownIgnored(t *testing.T) {
	b := newBox(t)
	data, err := json.Marshal(b.spec)
	check(t, err)
	text := strings.Replace(string(data), `"linux":{`, `"linux":{"later":{"a":[1]},`, 1)
	text = strings.Replace(text, `"process":{`, `"process":{"later":true,`, 1)
	b.writeConfig(`{"vendor":{"deep":[{}]},` + strings.TrimPrefix(text, "{"))
	b.run()
}

func capabilityUnknown(t *testing.T) {
	b := newBox(t, process(func(p *specs.Process) {
		p.Capabilities.Bounding = append(p.Capabilities.Bounding, "CAP_FLY")
	}))
	if b.create() == nil {
		if words := b.words("create"); !strings.Contains(words, "CAP_FLY") {
			t.Errorf("taken without a word: %q", words)
		}
	}
}
