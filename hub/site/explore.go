package site

import (
	"net/url"
	"strconv"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/containerd/errdefs"
)

// pageSize is how many repositories or tags a page lists.
const pageSize = 24

type homeBody struct{ Mine, Popular []catalog.Repository }

func (v *visit) home() error {
	if needed, err := v.Accounts.NeedsSetup(v.ctx()); err != nil || needed && !v.Catalog.Open() {
		if err != nil {
			return err
		}
		return v.done("/setup", "")
	}
	popular, err := v.Catalog.List(v.ctx(), v.by, catalog.Query{Popular: true, Limit: 9})
	if err != nil {
		return err
	}
	body := homeBody{Popular: popular}
	if v.session != nil {
		if body.Mine, err = v.Catalog.List(v.ctx(), v.by, catalog.Query{Namespace: v.session.User.Name, Limit: 6}); err != nil {
			return err
		}
	}
	return v.show("home", Page{Hero: true, Description: "Container images on this Hub", Body: body})
}

type searchBody struct {
	Repos          []catalog.Repository
	Orders         []order
	Previous, Next string
}

// order is a choice of a list's order.
type order struct {
	Value, Label string
	Chosen       bool
}

func orders(chosen string, pairs ...string) (list []order, value string) {
	value = pairs[0]
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == chosen {
			value = chosen
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, order{pairs[i], pairs[i+1], pairs[i] == value})
	}
	return list, value
}

// number reads a page's number, from 1 on.
func (v *visit) number() (int, error) {
	text := v.r.FormValue("page")
	if text == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100_000 {
		return 0, errdefs.ErrInvalidArgument.WithMessage("page must be a number from 1 to 100000")
	}
	return n, nil
}

// pages gives the addresses of the pages before and after this one.
func (v *visit) neighbours(n int, more bool) (previous, next string) {
	at := func(n int) string {
		q := url.Values{}
		for key, values := range v.r.URL.Query() {
			q[key] = values
		}
		q.Set("page", strconv.Itoa(n))
		return "?" + q.Encode()
	}
	if n > 1 {
		previous = at(n - 1)
	}
	if more {
		next = at(n + 1)
	}
	return previous, next
}

func (v *visit) search() error {
	n, err := v.number()
	if err != nil {
		return err
	}
	q := v.r.FormValue("q")
	if len(q) > 255 {
		return errdefs.ErrInvalidArgument.WithMessage("a search has at most 255 bytes")
	}
	list, by := orders(v.r.FormValue("sort"), "popular", "Most pulled", "name", "Name")
	repos, err := v.Catalog.List(v.ctx(), v.by, catalog.Query{Search: q, Popular: by == "popular", Offset: (n - 1) * pageSize, Limit: pageSize + 1})
	if err != nil {
		return err
	}
	body := searchBody{Orders: list}
	more := len(repos) > pageSize
	body.Repos = repos[:min(len(repos), pageSize)]
	body.Previous, body.Next = v.neighbours(n, more)
	title := "Explore"
	if q != "" {
		title = q
	}
	return v.show("search", Page{Title: title, Section: "explore", Query: q, Body: body})
}
