package site

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// browser is a client that keeps cookies and does not follow redirects.
type browser struct {
	h *hub
	*http.Client
}

func (h *hub) browser() *browser {
	jar, err := cookiejar.New(nil)
	h.must(err)
	return &browser{h, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) do(req *http.Request) (*http.Response, string) {
	b.h.t.Helper()
	resp, err := b.Do(req)
	b.h.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	b.h.must(err)
	return resp, string(body)
}

func (b *browser) get(path string) (*http.Response, string) {
	b.h.t.Helper()
	req, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, b.h.server.URL+path, nil)
	b.h.must(err)
	return b.do(req)
}

var tokenField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// token reads the form token that pages of this browser have.
func (b *browser) token() string {
	b.h.t.Helper()
	_, body := b.get("/search")
	m := tokenField.FindStringSubmatch(body)
	if m == nil {
		b.h.t.Fatal("no form token in the page")
	}
	return m[1]
}

func (b *browser) post(path string, form url.Values) (*http.Response, string) {
	b.h.t.Helper()
	req, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodPost, b.h.server.URL+path, strings.NewReader(form.Encode()))
	b.h.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// submit posts a form with its token.
func (b *browser) submit(path string, pairs ...string) (*http.Response, string) {
	b.h.t.Helper()
	form := url.Values{"csrf": {b.token()}}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return b.post(path, form)
}

func (h *hub) signedIn(name string) *browser {
	h.t.Helper()
	b := h.browser()
	if resp, body := b.submit("/signin", "name", name, "password", password); resp.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("sign in as %s: %d %s", name, resp.StatusCode, text(body))
	}
	return b
}

// text is what of a page is read: its main part without tags.
func text(page string) string {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return page
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" {
			b.WriteString(strings.TrimSpace(n.Data) + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// fill makes a Hub with something to see.
func fill(t *testing.T) *hub {
	t.Helper()
	h := newHub(t)
	grace := h.user("grace")
	web := h.repo(h.admin, "ada/web", true)
	h.push(h.admin, web, "1.0", webImage(t, "1.0", map[string]string{"apache2": "2.4.57-2", "libc6": "2.36-9", "perl-base": "5.36.0-7"}))
	h.push(h.admin, web, "1.1", webImage(t, "1.1", map[string]string{"apache2": "2.4.62-1", "libc6": "2.36-9", "brotli": "1.0.9-2"}, file("etc/apache2/mods/brotli.load", "LoadModule brotli\n")))
	h.push(h.admin, web, "latest", webImage(t, "1.1", map[string]string{"apache2": "2.4.62-1", "libc6": "2.36-9", "brotli": "1.0.9-2"}, file("etc/apache2/mods/brotli.load", "LoadModule brotli\n")))
	h.must(h.catalog.SetText(t.Context(), h.admin, "ada/web", "A small web server on Debian", readmeText))
	secret := h.repo(grace, "grace/secret", false)
	h.push(grace, secret, "1", webImage(t, "secret", map[string]string{"libc6": "1"}))
	return h
}

const readmeText = "# Web\n\nA small web server.\n\n<script>document.title='owned'</script>\n<img src=x onerror=\"document.title='owned'\">\n[click](javascript:document.title='owned')\n\n" +
	"## Use\n\n```sh\ndocker run -p 8080:80 hub.example/ada/web\n```\n\n| Variable | Default |\n|---|---|\n| `APP_VERSION` | the tag |\n"

func TestPagesAnonymous(t *testing.T) {
	h := fill(t)
	b := h.browser()
	for path, want := range map[string]string{
		"/":                            "ada/web",
		"/search?q=web":                "ada/web",
		"/search?q=nothing-like-this":  "Nothing found",
		"/r/ada/web":                   "A small web server.",
		"/r/ada/web/-/tags":            "linux/arm64",
		"/r/ada/web/-/tags?filter=1.0": "1.0",
		"/r/ada/web/-/tags/1.1":        "apt-get install -y --no-install-recommends apache2",
		"/r/ada/web/-/tags/1.1/files":  "apache2 2.4.62-1",
		"/r/ada/web/-/compare":         "What changed between two tags?",
		"/r/ada/web/-/history":         "push",
		"/u/ada":                       "ada/web",
		"/signin":                      "Password",
		"/signup":                      "Make account",
		"/r/ada/web/-/tags/1.1/files?path=etc/apache2":              "apache2.conf",
		"/r/ada/web/-/compare?from=1.0&to=1.1&platform=linux/arm64": "apache2 changed 2.4.57-2 2.4.62-1",
		"/r/ada/web/-/compare?from=1.1&to=latest":                   "No difference",
		"/r/ada/web/-/compare?from=1.0&to=none":                     `there is no tag "none" here`,
	} {
		resp, body := b.get(path)
		if got := text(body); resp.StatusCode != http.StatusOK || !strings.Contains(got, want) {
			t.Errorf("%s: %d, no %q in: %.600s", path, resp.StatusCode, want, got)
		}
		if strings.Contains(body, "grace/secret") {
			t.Errorf("%s tells of a private repository", path)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); csp != policy || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		checkMarkup(t, path, body)
	}
}

// checkMarkup looks for what the policy would refuse, and what assistive
// programs need.
func checkMarkup(t *testing.T, path, page string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids, labels := map[string]bool{}, map[string]bool{}
	var fields []string
	h1 := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
				t.Errorf("%s: <%s %s=%q>", path, n.Data, a.Key, a.Val)
			}
		}
		if id := attr["id"]; id != "" {
			if ids[id] {
				t.Errorf("%s: two elements have the id %q", path, id)
			}
			ids[id] = true
		}
		switch n.Data {
		case "script":
			if n.FirstChild != nil || !strings.HasPrefix(attr["src"], "/static/") {
				t.Errorf("%s: inline or foreign script", path)
			}
		case "style":
			t.Errorf("%s: inline style", path)
		case "h1":
			h1++
		case "label":
			labels[attr["for"]] = true
		case "input", "select", "textarea":
			if attr["type"] != "hidden" && attr["type"] != "checkbox" && attr["type"] != "radio" {
				fields = append(fields, attr["id"])
			}
		case "img":
			if _, found := attr["alt"]; !found && !strings.Contains(path, "/r/") {
				t.Errorf("%s: a picture without words", path)
			}
		case "form":
			if strings.EqualFold(attr["method"], "post") && !hasToken(n) {
				t.Errorf("%s: the form for %q has no token", path, attr["action"])
			}
		}
	}
	for _, f := range fields {
		if f == "" || !labels[f] {
			t.Errorf("%s: the field %q has no label", path, f)
		}
	}
	if h1 == 0 {
		t.Errorf("%s: no heading", path)
	}
}

func hasToken(form *html.Node) bool {
	for n := range form.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "name" && a.Val == "csrf" {
				return true
			}
		}
	}
	return false
}

// TestPrivateIsMissing: who may not know of a repository gets, byte for byte, the
// page of one that does not exist, on each page and for each form.
func TestPrivateIsMissing(t *testing.T) {
	h := fill(t)
	h.user("mallory")
	clean := func(body, name string) string {
		body = strings.NewReplacer(name, "NAME", url.QueryEscape(name), "NAME", strings.ToLower(url.QueryEscape(name)), "NAME").Replace(body)
		return tokenField.ReplaceAllString(body, "")
	}
	for who, b := range map[string]*browser{"anonymous": h.browser(), "mallory": h.signedIn("mallory")} {
		b.get("/search") // has its cookie now
		for _, page := range []string{"", "/-/tags", "/-/tags/1", "/-/tags/1/files", "/-/compare", "/-/history", "/-/settings", "/-/settings/access"} {
			private, a := b.get("/r/grace/secret" + page)
			missing, m := b.get("/r/grace/absent" + page)
			if private.StatusCode != missing.StatusCode || clean(a, "grace/secret") != clean(m, "grace/absent") {
				t.Errorf("%s %s: %d and %d differ", who, page, private.StatusCode, missing.StatusCode)
			}
			if who == "mallory" && private.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %d", who, page, private.StatusCode)
			}
		}
		for _, form := range []string{"/-/settings/text", "/-/settings/visibility", "/-/settings/rename", "/-/settings/delete", "/-/tags/1/delete", "/-/tags/1/restore", "/-/settings/access"} {
			private, a := b.submit("/r/grace/secret"+form, "visibility", "public", "confirm", "grace/secret", "name", "mallory/mine", "kind", "user", "subject", "mallory", "role", "admin")
			missing, m := b.submit("/r/grace/absent"+form, "visibility", "public", "confirm", "grace/absent", "name", "mallory/mine", "kind", "user", "subject", "mallory", "role", "admin")
			if private.StatusCode != missing.StatusCode || clean(a, "grace/secret") != clean(m, "grace/absent") {
				t.Errorf("%s %s: %d and %d differ:\n%s\n%s", who, form, private.StatusCode, missing.StatusCode, text(a), text(m))
			}
		}
	}
	if _, body := h.signedIn("grace").get("/r/grace/secret"); !strings.Contains(text(body), "Private") {
		t.Error("the owner does not see it")
	}
}

// TestReaderIsNoAdmin: a public repository's settings are refused to others.
func TestReaderIsNoAdmin(t *testing.T) {
	h := fill(t)
	b := h.signedIn("grace")
	if resp, _ := b.get("/r/ada/web/-/settings"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("settings: %d", resp.StatusCode)
	}
	for form, pairs := range map[string][]string{
		"/settings/text": {"readme", "x"}, "/settings/visibility": {"visibility", "private"}, "/settings/rename": {"name", "grace/web"},
		"/settings/delete": {"confirm", "ada/web"}, "/tags/1.0/delete": {}, "/settings/access": {"kind", "user", "subject", "grace", "role", "admin"},
	} {
		if resp, body := b.submit("/r/ada/web/-"+form, pairs...); resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", form, resp.StatusCode, text(body))
		}
	}
	if _, body := h.browser().get("/r/ada/web/-/tags"); !strings.Contains(text(body), "1.0") {
		t.Error("something was changed")
	}
}

func TestFormsNeedTheirToken(t *testing.T) {
	h := fill(t)
	victim, attacker := h.signedIn("ada"), h.signedIn("grace")
	form := url.Values{"visibility": {"private"}}
	refused := func(what string, resp *http.Response) {
		t.Helper()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", what, resp.StatusCode)
		}
	}
	resp, _ := victim.post("/r/ada/web/-/settings/visibility", form)
	refused("no token", resp)
	form.Set("csrf", attacker.token())
	resp, _ = victim.post("/r/ada/web/-/settings/visibility", form)
	refused("another session's token", resp)
	anonymous := h.browser()
	resp, _ = anonymous.post("/signin", url.Values{"name": {"ada"}, "password": {password}})
	refused("sign-in without token", resp)
	form.Set("csrf", victim.token())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.server.URL+"/r/ada/web/-/settings/visibility", strings.NewReader(form.Encode()))
	h.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, _ = victim.do(req)
	refused("from another site", resp)
	resp, _ = victim.get("/r/ada/web/-/settings/visibility")
	if resp.StatusCode < 400 {
		t.Errorf("a form's address by GET: %d", resp.StatusCode)
	}
	if _, body := anonymous.get("/r/ada/web"); !strings.Contains(text(body), "Public") {
		t.Error("a refused form was carried out")
	}
	if resp, _ := victim.post("/r/ada/web/-/settings/visibility", form); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the right token: %d", resp.StatusCode)
	}
	if resp, _ := anonymous.get("/r/ada/web"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("private now: %d", resp.StatusCode)
	}
}

func TestCookiesAndRedirects(t *testing.T) {
	h := fill(t)
	b := h.browser()
	for next, want := range map[string]string{
		"/r/ada/web": "/r/ada/web", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/", "": "/", "javascript:alert(1)": "/",
	} {
		resp, _ := b.submit("/signin", "name", "ada", "password", password, "next", next)
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != want {
			t.Errorf("next %q: %d to %q", next, resp.StatusCode, got)
		}
		for _, c := range resp.Cookies() {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
				t.Errorf("cookie %s", c.Raw)
			}
		}
		b = h.browser()
	}
	resp, body := b.submit("/signin", "name", "ada", "password", "wrong")
	if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "wrong") || strings.Contains(body, `value="wrong"`) {
		t.Errorf("wrong password: %d %s", resp.StatusCode, text(body))
	}
	secure := &Site{Options: Options{Secure: true}}
	v := &visit{Site: secure}
	if v.cookieName(sessionCookie) != "__Host-berth-session" {
		t.Error("behind https, cookies have no prefix")
	}
}

func TestNothingThere(t *testing.T) {
	h := fill(t)
	b := h.browser()
	for _, path := range []string{"/nope", "/u/nobody", "/r/", "/r/ada", "/r/ada/web/-/nope", "/r/ada/web/-/tags/none", "/r/ada/web/-/tags/1.0?digest=sha256:1", "/r/ada/web/-/tags/1.0/files?path=no/where", "/r/..%2f..%2fetc", "/static/x/style.css", "/static/x/../../site.go"} {
		if resp, _ := b.get(path); resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMovedPermanently && resp.StatusCode != http.StatusTemporaryRedirect && resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	for _, path := range []string{"/search?page=0", "/search?page=x", "/search?page=999999999999", "/search?q=" + strings.Repeat("a", 300), "/r/ada/web/-/tags?page=-1"} {
		if resp, _ := b.get(path); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	if resp, body := b.get("/search?q=" + url.QueryEscape(`"><script>alert(1)</script>`)); resp.StatusCode != http.StatusOK || strings.Contains(body, "<script>alert") {
		t.Error("the search is not escaped")
	}
}

// TestStars: who has signed in marks a repository, for all to see, and finds it
// at the start; what was updated last is there, too.
func TestStars(t *testing.T) {
	h := fill(t)
	b, anonymous := h.signedIn("grace"), h.browser()
	b.want("/r/ada/web", "/r/ada/web/-/star", "star", "1")
	_, body := b.get("/r/ada/web")
	if got := text(body); !strings.Contains(got, "Starred 1") {
		t.Errorf("marked: %s", got)
	}
	_, body = b.get("/")
	if got := text(body); !strings.Contains(got, "Starred ada / web") && !strings.Contains(got, "Starred ada/web") || !strings.Contains(got, "Recently updated") {
		t.Errorf("at the start: %s", got)
	}
	_, body = anonymous.get("/search?sort=stars")
	if got := find(t, `<h3><a href="/r/([^"]+)"`, body); got != "ada/web" {
		t.Errorf("the most starred is %s", got)
	}
	checkMarkup(t, "/search?sort=stars", body)
	if resp, _ := anonymous.submit("/r/ada/web/-/star", "star", "1"); resp.StatusCode == http.StatusOK && resp.Request.URL.Path != "/signin" {
		t.Errorf("by who has not signed in: %d at %s", resp.StatusCode, resp.Request.URL)
	}
	b.want("/r/ada/web", "/r/ada/web/-/star", "star", "")
	_, body = b.get("/r/ada/web")
	if got := text(body); !strings.Contains(got, "Star 0") {
		t.Errorf("no longer marked: %s", got)
	}
}
