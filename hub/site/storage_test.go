package site

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

func TestStorage(t *testing.T) {
	h := fill(t)
	b, other := h.signedIn("ada"), h.signedIn("grace")
	b.want("/admin/storage", "/admin/storage/collect", "do", "look")
	_, body := b.get("/admin/storage")
	if got := text(body); !strings.Contains(got, "running") || !strings.Contains(body, `http-equiv="refresh"`) {
		t.Errorf("while it looks: %s", got)
	}
	if resp, body := b.submit("/admin/storage/collect", "do", "collect"); resp.StatusCode != http.StatusConflict || !strings.Contains(text(body), "under way") {
		t.Errorf("another one meanwhile: %d %s", resp.StatusCode, text(body))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.collector.Run(ctx) }()
	for strings.Contains(body, "running") {
		_, body = b.get("/admin/storage")
	}
	cancel()
	h.must(<-ended)
	if got := text(body); !strings.Contains(got, "looked") || strings.Contains(body, `http-equiv="refresh"`) {
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
	settings := find(t, `href="(/admin/mirrors/[^/"]+)"`, body)
	_, body = b.get(settings)
	if !strings.Contains(body, `value="https://registry.example.org"`) || strings.Contains(body, "hunter2") || !strings.Contains(body, "50\u00a0GB") {
		t.Errorf("settings: %s", body)
	}
	checkMarkup(t, settings, body)
	if resp, body := b.submit(settings, "prefix", "docker", "upstream", "https://other.example.org", "username", "x"); resp.StatusCode != http.StatusBadRequest || !strings.Contains(text(body), "password is needed again") {
		t.Errorf("another upstream with the old password: %d %s", resp.StatusCode, text(body))
	}
	if resp, body := b.submit(settings, "prefix", "docker", "upstream", "https://registry.example.org", "username", "x", "capacity", "much"); resp.StatusCode != http.StatusBadRequest || !strings.Contains(text(body), "is no size") {
		t.Errorf("no size: %d %s", resp.StatusCode, text(body))
	}
	b.want("/admin/storage", settings, "prefix", "docker", "upstream", "https://registry.example.org", "username", "x", "public", "1", "fresh", "60", "capacity", "2\u00a0GB")
	_, body = b.get("/admin/storage")
	if got := text(body); !strings.Contains(got, "everybody") || !strings.Contains(got, "2 GB") && !strings.Contains(got, "2\u00a0GB") {
		t.Errorf("changed: %s", got)
	}
	remove := find(t, `action="(/admin/mirrors/[^/]+/remove)"`, body)
	for path, pairs := range map[string][]string{"/admin/storage/collect": {"do", "collect"}, "/admin/mirrors": {"prefix", "x", "upstream", "https://y.example.org"}, settings: nil, remove: nil} {
		if resp, _ := other.submit(path, pairs...); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s by another: %d", path, resp.StatusCode)
		}
	}
	b.want("/admin/storage", remove)
	_, body = b.get("/admin/audit")
	if got := text(body); !strings.Contains(got, "mirror.create") || !strings.Contains(got, "mirror.delete") || strings.Contains(got, "hunter2") {
		t.Errorf("audit: %.600s", got)
	}
}
