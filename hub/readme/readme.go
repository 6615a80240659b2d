// Package readme turns what strangers write as Markdown into HTML that is safe
// to show on the Hub's own origin: no scripts, styles, forms, frames, event
// handlers or names that page scripts could mistake for their own.
package readme

import (
	"bytes"
	"fmt"
	"html/template"
	"regexp"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/renderer/html"
	gmtext "github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// Max is how many bytes of Markdown are shown; it is also what a repository's
// README may have at most.
const Max = 256 << 10

// prefix keeps identifiers of headings apart from the page's own.
const prefix = "readme-"

var markdown = goldmark.New(
	goldmark.WithExtensions(extension.Table, extension.Strikethrough, extension.Linkify, extension.TaskList),
	goldmark.WithRendererOptions(
		html.WithUnsafe(), // raw HTML comes through here and is judged by the policy
		renderer.WithNodeRenderers(util.Prioritized(checks{}, 100)),
	),
)

var policy = newPolicy()

// newPolicy lists what may be in a README; everything else is dropped. It is
// narrower than bluemonday's own for user content: no names and identifiers but
// those of headings (DOM clobbering), no inline images (data:), no forms.
func newPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "hr", "em", "strong", "b", "i", "u", "s", "del", "ins", "sub", "sup", "kbd", "samp", "var", "code", "pre",
		"blockquote", "ul", "ol", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption",
		"details", "summary", "div", "span", "abbr", "mark", "h1", "h2", "h3", "h4", "h5", "h6")
	p.AllowAttrs("id").Matching(regexp.MustCompile(`^`+prefix+`[\p{L}\p{N}_-]{1,80}$`)).OnElements("h1", "h2", "h3", "h4", "h5", "h6")
	p.AllowAttrs("align").Matching(regexp.MustCompile(`^(left|center|right)$`)).OnElements("p", "div", "td", "th", "h1", "h2", "h3")
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^language-[A-Za-z0-9+#-]{1,30}$`)).OnElements("code")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowAttrs("colspan", "rowspan").Matching(regexp.MustCompile(`^[1-9][0-9]?$`)).OnElements("td", "th")
	p.AllowAttrs("open").Matching(regexp.MustCompile(`^$`)).OnElements("details")
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("src").Matching(regexp.MustCompile(`^https://`)).OnElements("img")
	p.AllowAttrs("alt", "title").OnElements("img", "a", "abbr")
	p.AllowAttrs("width", "height").Matching(regexp.MustCompile(`^[0-9]{1,4}%?$`)).OnElements("img")
	p.AllowURLSchemes("https", "http", "mailto")
	p.AllowRelativeURLs(true)
	p.RequireParseableURLs(true)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	return p
}

// HTML renders Markdown. What is beyond Max is not shown.
func HTML(source string) (template.HTML, error) {
	if len(source) > Max {
		source = source[:Max]
	}
	text := []byte(source)
	doc := markdown.Parser().Parse(gmtext.NewReader(text))
	if err := anchor(doc, text); err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := markdown.Renderer().Render(&out, text, doc); err != nil {
		return "", fmt.Errorf("render README: %w", err)
	}
	return template.HTML(policy.SanitizeBytes(out.Bytes())), nil //nolint:gosec // this is the sanitiser
}

// checks renders the boxes of task lists as characters: READMEs have no inputs.
type checks struct{}

func (c checks) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(extast.KindTaskCheckBox, c.render)
}

func (checks) render(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	box, ok := n.(*extast.TaskCheckBox)
	if !entering || !ok {
		return ast.WalkContinue, nil
	}
	mark := "☐ "
	if box.IsChecked {
		mark = "☑ "
	}
	_, err := w.WriteString(mark)
	return ast.WalkContinue, err
}
