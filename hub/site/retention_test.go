package site

import (
	"net/http"
	"strings"
	"testing"
)

// TestRetention: a preview says what would go and changes nothing.
func TestRetention(t *testing.T) {
	h := fill(t)
	b, at := h.signedIn("ada"), "/r/ada/web/-/settings/retention"
	rule := []string{
		"tags", "", "except", "latest", "last", "1", "days", "", "pulled", "", "untagged", "", "immutable", "v*",
		"tags", "", "except", "", "last", "", "days", "", "pulled", "",
	}
	resp, body := b.submit(at, append([]string{"do", "preview"}, rule...)...)
	if got := text(body); resp.StatusCode != http.StatusOK || !strings.Contains(got, "1 thing would go") || !strings.Contains(got, "goes") || !strings.Contains(got, "stays") {
		t.Errorf("preview: %d %s", resp.StatusCode, got)
	}
	checkMarkup(t, at, body)
	if _, body := b.get(at); strings.Contains(body, `value="latest"`) {
		t.Error("the preview was saved")
	}
	b.want(at, at, append([]string{"do", "save"}, rule...)...)
	if _, body := b.get(at); !strings.Contains(body, `value="latest"`) || !strings.Contains(body, `value="v*"`) {
		t.Error("the policy was not saved")
	}
	for _, path := range []string{"/r/ada/web/-/tags/1.0", "/r/ada/web/-/tags/1.1"} {
		if resp, _ := b.get(path); resp.StatusCode != http.StatusOK {
			t.Errorf("%s is gone: %d", path, resp.StatusCode)
		}
	}
	for what, bad := range map[string][]string{
		"number":  {"tags", "x", "except", "", "last", "many", "days", "", "pulled", ""},
		"nothing": {"tags", "x", "except", "", "last", "", "days", "", "pulled", ""},
		"columns": {"tags", "x"},
		"pattern": {"tags", "[", "except", "", "last", "1", "days", "", "pulled", ""},
	} {
		if resp, body := b.submit(at, append([]string{"do", "save"}, bad...)...); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", what, resp.StatusCode, text(body))
		}
	}
	if resp, _ := h.signedIn("grace").submit(at+"/apply", "x", "y"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("applied by a reader: %d", resp.StatusCode)
	}
}
