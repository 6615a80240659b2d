package readme

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestRendered(t *testing.T) {
	for in, want := range map[string]string{
		"# Über uns\n[up](#Über-uns)":                 `<h1 id="readme-über-uns">Über uns</h1>`,
		"## A\n## A":                                  `<h2 id="readme-a-1">A</h2>`,
		"[x](#A)":                                     `<a href="#readme-a" rel="nofollow noreferrer">x</a>`,
		"- [x] done\n- [ ] open":                      "☑ done",
		"|a|b|\n|-|:-:|\n|1|2|":                       "<td>1</td>",
		"```sh\nls <x>\n```":                          `<code class="language-sh">ls &lt;x&gt;`,
		"![logo](https://x.example/a.png)":            `<img src="https://x.example/a.png" alt="logo">`,
		"<details><summary>s</summary>t</details>":    "<details><summary>s</summary>t</details>",
		"https://berth.example":                       `<a href="https://berth.example" rel="nofollow noreferrer">`,
		`<p align="center">mid</p>`:                   `<p align="center">mid</p>`,
		strings.Repeat("a", Max) + "beyond the limit": "aaa",
	} {
		got, err := HTML(in)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.ReplaceAll(string(got), " />", "/>"), want) {
			t.Errorf("%.60q: got %.300s, want %s", in, got, want)
		}
		if strings.Contains(string(got), "beyond") {
			t.Error("more than Max was shown")
		}
	}
}

// attacks are what READMEs have been used for (CVE-2025-32019 and others).
var attacks = []string{
	`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `[x](javascript:alert(1))`, `<a href="java&#x09;script:alert(1)">x</a>`,
	`![x](data:image/svg+xml;base64,PHN2Zz4=)`, `<svg onload=alert(1)><a xlink:href="javascript:alert(1)">x</a></svg>`, `<iframe src=//evil></iframe>`,
	`<form action=/signout><input name=csrf><button formaction=javascript:alert(1)>x</button></form>`, `<style>*{display:none}</style>`,
	`<p style="position:fixed;inset:0">x</p>`, `<base href=//evil>`, `<meta http-equiv=refresh content=0;url=//evil>`, `<link rel=stylesheet href=//evil>`,
	`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`, `<a id=csrf name=body>x</a>`,
	`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, "<details open ontoggle=alert(1)>", `<object data=x></object><embed src=x>`,
	"[a]: javascript:alert(1)\n[a]", "<javascript:alert(1)>", "[x](vbscript:x)", "[x](<data:text/html,<script>alert(1)</script>>)",
	`<img src="http://tracker.example/x.png">`, `<h1 id="top" class="skip">x</h1>`, `<table background=javascript:alert(1)><td background=x>`,
	"# x {#evil onclick=alert(1)}", `<div data-log="/x" data-copy data-confirm=x>x</div>`, `<video src=x onerror=alert(1)>`, "<!--><img src=x onerror=alert(1)>-->",
	`<textarea></textarea><img src=x onerror=alert(1)>`, `<template><img src=x onerror=alert(1)></template>`, `<xmp><p title="</xmp><svg/onload=alert(1)>">`,
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		check(t, a)
		check(t, "text\n\n> "+a+"\n\n- "+a)
	}
}

// check parses what would be shown as a browser does, and looks for what must
// not be there.
func check(t *testing.T, source string) {
	t.Helper()
	out, err := HTML(source)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(strings.NewReader("<body>" + string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		bad := []string{"script", "style", "svg", "math", "iframe", "object", "embed", "form", "input", "button", "textarea", "select", "base", "meta", "link", "template", "video", "audio", "noscript", "title"}
		if slices.Contains(bad, n.Data) {
			t.Errorf("%q became %q: <%s>", source, out, n.Data)
		}
		for _, a := range n.Attr {
			value := strings.ToLower(strings.Join(strings.Fields(a.Val), ""))
			switch {
			case strings.HasPrefix(a.Key, "on"), strings.HasPrefix(a.Key, "data-"), a.Key == "style", a.Key == "name", a.Key == "srcset", a.Key == "background",
				a.Key == "id" && !strings.HasPrefix(a.Val, prefix), a.Key == "class" && !strings.HasPrefix(a.Val, "language-"):
				t.Errorf("%q became %q: attribute %s", source, out, a.Key)
			case a.Key == "src" && !strings.HasPrefix(a.Val, "https://"):
				t.Errorf("%q became %q: src %s", source, out, a.Val)
			case a.Key == "href":
				if scheme, _, found := strings.Cut(value, ":"); found && !strings.ContainsAny(scheme, "/?#") && !slices.Contains([]string{"https", "http", "mailto"}, scheme) {
					t.Errorf("%q became %q: href %s", source, out, a.Val)
				}
			}
		}
	}
}

func FuzzHTML(f *testing.F) {
	for _, a := range attacks {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, source string) { check(t, source) })
}
