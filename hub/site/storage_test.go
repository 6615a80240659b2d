package site

import (
	"net/http"
	"strings"
	"testing"
)

func TestStorage(t *testing.T) {
	h := fill(t)
	b, other := h.signedIn("ada"), h.signedIn("grace")
	b.want("/admin/storage", "/admin/storage/collect", "do", "look")
	_, body := b.get("/admin/storage")
	if got := text(body); !strings.Contains(got, "looked") || !strings.Contains(got, "would go") {
		t.Errorf("after a look: %s", got)
	}
	checkMarkup(t, "/admin/storage", body)
	if resp, body := b.submit("/admin/mirrors", "prefix", "docker", "upstream", "http://127.0.0.1:1", "username", "x", "password", "hunter2"); resp.StatusCode != http.StatusBadRequest || strings.Contains(body, "hunter2") {
		t.Errorf("an upstream in the Hub's own network: %d %s", resp.StatusCode, text(body))
	}
	b.want("/admin/storage", "/admin/mirrors", "prefix", "docker", "upstream", "https://registry.example.org", "username", "x", "password", "hunter2")
	_, body = b.get("/admin/storage")
	if strings.Contains(body, "hunter2") || !strings.Contains(body, "registry.example.org") {
		t.Error("the password is shown, or the mirror is not")
	}
	remove := find(t, `action="(/admin/mirrors/[^/]+/remove)"`, body)
	for path, pairs := range map[string][]string{"/admin/storage/collect": {"do", "collect"}, "/admin/mirrors": {"prefix", "x", "upstream", "https://y.example.org"}, remove: nil} {
		if resp, _ := other.submit(path, pairs...); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s by another: %d", path, resp.StatusCode)
		}
	}
	b.want("/admin/storage", remove)
	_, body = b.get("/admin/audit")
	if got := text(body); !strings.Contains(got, "mirror.create") || !strings.Contains(got, "mirror.remove") || strings.Contains(got, "hunter2") {
		t.Errorf("audit: %.600s", got)
	}
}
