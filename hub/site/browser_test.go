package site

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestBrowser walks the pages in a real Chromium: nothing that the policy
// refuses, no errors, a README that stays text, light and dark.
func TestBrowser(t *testing.T) {
	h := fill(t)
	b := h.chromium()
	b.open("/r/ada/web")
	b.run(chromedp.ScrollIntoView(chromedp.CSS(".prose table")))
	if title := eval[string](b, "document.title"); title != "ada/web · Berth Hub" {
		t.Errorf("the README did something: %q", title)
	}
	b.quiet()
	h.scenery()
	for _, path := range []string{
		"/", "/search?q=web", "/r/ada/web", "/r/ada/web/-/tags", "/r/ada/web/-/tags/1.1", "/r/ada/web/-/tags/1.1/files",
		"/r/ada/web/-/compare?from=1.0&to=1.1", "/r/ada/web/-/history", "/u/ada", "/signin", "/signup",
	} {
		b.fits(path)
	}
	b.open("/nope")
	b.see("Nothing here")
	b.quiet("404")
	b.signIn("ada")
	for _, path := range []string{
		"/", "/account", "/account/tokens", "/account/security", "/account/sessions", "/account/audit", "/admin", "/admin/audit", "/admin/storage", "/new", "/orgs/new",
		"/u/ada", "/u/ada/-/robots", "/u/ada/-/audit", "/u/harbour", "/u/harbour/-/members", "/u/harbour/-/teams", "/u/harbour/-/teams/crew", "/u/harbour/-/robots", "/u/harbour/-/settings",
		"/r/ada/web/-/settings", "/r/ada/web/-/settings/access", "/r/ada/web/-/settings/webhooks", "/r/ada/web/-/settings/retention", "/r/ada/web/-/settings/builds", "/r/ada/web/-/builds", "/r/ada/web/-/tags/1.1", "/r/ada/web/-/history",
	} {
		b.fits(path)
	}
	b.open("/account/security")
	b.click("main form button")
	b.see("Scan with your authenticator")
	b.quiet()
}

// fits opens a page, which has nothing to complain of and is no wider than a
// telephone.
func (b *tab) fits(path string) {
	b.t.Helper()
	b.open(path)
	b.quiet()
	b.size(390, 800)
	if eval[bool](b, "document.documentElement.scrollWidth > document.documentElement.clientWidth") {
		b.t.Errorf("%s is wider than a telephone", path)
	}
	b.size(1280, 860)
}

// TestKeyboard goes through a page with the keyboard alone.
func TestKeyboard(t *testing.T) {
	h := fill(t)
	b := h.chromium()
	b.open("/r/ada/web")
	at := "document.activeElement.className || document.activeElement.id || document.activeElement.tagName"
	b.run(chromedp.KeyEvent(kb.Tab))
	if focused := eval[string](b, at); focused != "skip" {
		t.Errorf("the first stop is %q", focused)
	}
	b.run(chromedp.KeyEvent(kb.Enter))
	if focused := eval[string](b, at); focused != "main" {
		t.Errorf("the skip link leads to %q", focused)
	}
	for range 40 {
		b.run(chromedp.KeyEvent(kb.Tab))
		if !eval[bool](b, `(() => { const e = document.activeElement; if (e === document.body) return true;
			const all = [e, ...e.parentElement ? [e] : []].flatMap(x => [getComputedStyle(x), getComputedStyle(x, "::after")]);
			return all.some(s => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2); })()`) {
			t.Errorf("no focus to be seen on %s", eval[string](b, "document.activeElement.outerHTML.slice(0, 200)"))
		}
	}
	b.open("/search")
	b.run(chromedp.KeyEvent("/"))
	if focused := eval[string](b, "document.activeElement.id"); focused != "q" {
		t.Errorf("the key / leads to %q", focused)
	}
	eval[string](b, `document.querySelector("#q").value = ""`) // unlike a keyboard, the test's keys write what a handler refused
	if _, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent("web"+kb.Enter)); err != nil {
		t.Fatal(err)
	}
	b.see("Results for “web”")
	b.signIn("ada")
	b.run(chromedp.Focus(chromedp.CSS("details.menu summary")), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(chromedp.CSS("details.menu a")), chromedp.KeyEvent(kb.Escape))
	if eval[bool](b, `document.querySelector("details.menu").open`) {
		t.Error("Escape does not close the menu")
	}
	b.quiet()
}

// TestWithoutScripts does what needs a form with scripts switched off.
func TestWithoutScripts(t *testing.T) {
	h := fill(t)
	b := h.chromium()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	h.must(err)
	b.open("/signup")
	b.fill("#name", "linus", "#password", password)
	b.click("main form button")
	b.see("Nothing pushed yet")
	b.open("/new")
	b.fill("#name", "tool")
	b.click("main form button")
	b.see("This repository is empty")
	b.open("/account/tokens")
	b.fill("#name", "ci")
	b.click("main form button")
	b.see("It is shown this once")
	b.open("/r/ada/web/-/compare?from=1.0&to=1.1")
	b.see("2.4.62-1")
	b.open("/")
	b.click(`.theme button[value="dark"]`)
	theme, err := chromedp.Run(b.ctx, chromedp.AttributeValue(chromedp.CSS("html"), "data-theme"))
	h.must(err)
	if theme.Value != "dark" {
		t.Errorf("the theme is %q", theme.Value)
	}
	b.quiet()
}

// TestPictures takes the pictures of docs/hub.md.
func TestPictures(t *testing.T) {
	h := fill(t)
	h.scenery()
	b := h.chromium()
	b.size(1280, 860)
	b.open("/")
	b.picture("explore")
	b.open("/r/ada/web")
	b.picture("repository")
	b.open("/r/ada/web/-/tags/1.1")
	b.picture("image")
	b.open("/r/ada/web/-/compare?from=1.0&to=1.1")
	b.picture("compare")
	b.dark(true)
	b.open("/r/ada/web/-/tags")
	b.picture("tags-dark")
	b.signIn("ada")
	b.open("/account/tokens")
	b.picture("tokens-dark")
	b.dark(false)
	b.size(390, 844)
	b.open("/r/ada/web")
	b.picture("phone")
}
