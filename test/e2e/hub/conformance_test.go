package hub

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConformance runs the official suite of the distribution specification
// against the Hub, with accounts and without: pull, push, content discovery and
// content management. docs/conformance-hub.md has the result.
func TestConformance(t *testing.T) {
	program := build(t, "github.com/opencontainers/distribution-spec/conformance")
	t.Run("open", func(t *testing.T) {
		_, url := process(t, "--data", t.TempDir(), "--no-seed")
		conform(t, program, url, "conformance", "", "")
	})
	t.Run("accounts", func(t *testing.T) {
		data := t.TempDir()
		database := filepath.Join(data, "hub.db")
		newUser(t, database, "ann")
		secret := userToken(t, database, "ann")
		_, url := process(t, "--data", data, "--no-seed", "--accounts")
		conform(t, program, url, "ann", "ann", secret)
	})
}

// conform runs the suite and fails unless each part that it has on by default
// passes, but for what is stored by sha512, which the Hub refuses.
func conform(t *testing.T, program, url, namespace, user, secret string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "OCI_REGISTRY="+strings.TrimPrefix(url, "http://"), "OCI_TLS=disabled", "OCI_VERSION=1.1", "OCI_DATA_SHA512=false",
		"OCI_REPO1="+namespace+"/one", "OCI_REPO2="+namespace+"/two", "OCI_USERNAME="+user, "OCI_PASSWORD="+secret)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, part := range []string{
		"Tag listing", "Tag delete", "Blob push", "Blob post put", "Blob chunked", "Blob streaming", "Blob mount", "Blob get", "Blob head", "Blob delete",
		"Manifest put by digest", "Manifest put by tag", "Manifest put with subject", "Manifest get by tag", "Manifest delete", "Referrers",
		"Artifacts with Subject", "Missing Subject", "Nested Index", "Non-distributable Layers",
	} {
		passed := false
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSpace(line)
			passed = passed || strings.HasPrefix(line, part+".") && strings.HasSuffix(line, "Pass")
		}
		if !passed {
			t.Errorf("%s did not pass", part)
		}
	}
	t.Logf("%s", out)
}
