// Package web holds the Hub's pages as they are embedded into the program:
// templates, style, scripts and pictures. What they show comes from hub/site.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
)

//go:embed static templates
var files embed.FS

// Asset is a file that pages refer to.
type Asset struct {
	Data []byte
	Type string // media type
	// Path is where it is to be served: it changes with the content, so that it
	// may be cached for ever.
	Path string
}

var types = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// Assets returns all by their name, such as style.css.
func Assets() (map[string]Asset, error) {
	entries, err := files.ReadDir("static")
	if err != nil {
		return nil, fmt.Errorf("embedded assets: %w", err)
	}
	assets := map[string]Asset{}
	for _, e := range entries {
		data, err := files.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("embedded assets: %w", err)
		}
		t := types[path.Ext(e.Name())]
		if t == "" {
			return nil, fmt.Errorf("embedded asset %s: no media type is known for it", e.Name())
		}
		sum := sha256.Sum256(data)
		assets[e.Name()] = Asset{Data: data, Type: t, Path: "/static/" + hex.EncodeToString(sum[:6]) + "/" + e.Name()}
	}
	return assets, nil
}

// Templates parses each page together with the layout and the parts that pages
// share. A page is executed by the name "layout".
func Templates(funcs template.FuncMap) (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(funcs).ParseFS(files, "templates/layout.html", "templates/parts/*.html")
	if err != nil {
		return nil, fmt.Errorf("embedded templates: %w", err)
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("embedded templates: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" {
			continue
		}
		page, err := shared.Clone()
		if err == nil {
			page, err = page.ParseFS(files, file)
		}
		if err != nil {
			return nil, fmt.Errorf("embedded template %s: %w", name, err)
		}
		pages[name] = page
	}
	return pages, nil
}
