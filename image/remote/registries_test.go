package remote

import (
	"net/url"
	"testing"

	"github.com/moby/moby/api/types/registry"
)

func TestSameSite(t *testing.T) {
	for _, c := range []struct {
		realm, origin string
		want          bool
	}{
		{"https://auth.docker.io/token", "https://registry-1.docker.io", true},
		{"https://gitlab.com/jwt/auth", "https://registry.gitlab.com", true},
		{"https://ghcr.io/token", "https://ghcr.io", true},
		{"http://127.0.0.1:5000/token", "http://127.0.0.1:5000", true},
		{"http://127.0.0.1:5001/token", "http://127.0.0.1:5000", false},
		{"http://auth.docker.io/token", "https://registry-1.docker.io", false},
		{"https://auth.docker.io:8443/token", "https://registry-1.docker.io", false},
		{"https://evil.co.uk/token", "https://good.co.uk", false},
		{"https://evil.github.io/token", "https://good.github.io", false},
		{"https://docker.io.evil.com/token", "https://registry-1.docker.io", false},
		{"https://10.0.0.1/token", "https://10.0.0.2", false},
		{"/token", "https://ghcr.io", false},
	} {
		realm, err := url.Parse(c.realm)
		if err != nil {
			t.Fatal(err)
		}
		origin, err := url.Parse(c.origin)
		if err != nil {
			t.Fatal(err)
		}
		if got := sameSite(realm, origin); got != c.want {
			t.Errorf("%s for %s: %v", c.realm, c.origin, got)
		}
	}
	for host, want := range map[string]bool{"localhost": true, "127.1.2.3": true, "::1": true, "::ffff:127.0.0.1": true, "169.254.169.254": true, "10.0.0.1": false, "example.com": false, "0.0.0.0": true} {
		if got := isLocal(host); got != want {
			t.Errorf("isLocal(%s) = %v", host, got)
		}
	}
}

func TestInsecure(t *testing.T) {
	r := Registries{Insecure: []string{"10.0.0.0/8", "lan.example", "other.example:5000"}}
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1": true, "127.8.8.8:1": true, "[::1]:5000": true,
		"10.1.2.3:5000": true, "11.1.2.3": false, "lan.example:8080": true, "other.example:5000": true,
	} {
		if got := r.insecure(t.Context(), host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
	if (Registries{}).insecure(t.Context(), "example.com") {
		t.Error("example.com is insecure")
	}
}

func TestCredentialsFor(t *testing.T) {
	if c := credentialsFor("docker.io", &registry.AuthConfig{Username: "u", Password: "p", ServerAddress: "https://index.docker.io/v1/"}); c == nil || c.user != "u" {
		t.Errorf("%+v", c)
	}
	if c := credentialsFor("quay.io", &registry.AuthConfig{Username: "u", Password: "p", ServerAddress: "https://index.docker.io/v1/"}); c != nil {
		t.Errorf("%+v", c)
	}
	if c := credentialsFor("quay.io", &registry.AuthConfig{}); c != nil {
		t.Errorf("%+v", c)
	}
}
