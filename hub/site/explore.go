package site

import (
	"strconv"
	"strings"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/containerd/errdefs"
)

// pageSize is how many repositories or tags a page lists.
const pageSize = 24

type homeBody struct{ Mine, Starred, Popular, Recent []catalog.Repository }

func (v *visit) home() error {
	if needed, err := v.Accounts.NeedsSetup(v.ctx()); err != nil || needed && !v.Catalog.Open() {
		if err != nil {
			return err
		}
		return v.done("/setup", "")
	}
	var body homeBody
	lists := map[*[]catalog.Repository]catalog.Query{&body.Popular: {Order: catalog.Popular, Limit: 6}, &body.Recent: {Order: catalog.Recent, Limit: 6}}
	if v.session != nil {
		lists[&body.Mine] = catalog.Query{Namespace: v.session.User.Name, Order: catalog.Recent, Limit: 6}
		lists[&body.Starred] = catalog.Query{StarredBy: v.by.ID, Order: catalog.Recent, Limit: 6}
	}
	for into, q := range lists {
		list, err := v.Catalog.List(v.ctx(), v.by, q)
		if err != nil {
			return err
		}
		*into = list
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
		q := v.r.URL.Query()
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
	list, by := orders(v.r.FormValue("sort"), "popular", "Most pulled", "recent", "Recently updated", "stars", "Most starred", "name", "Name")
	repos, err := v.Catalog.List(v.ctx(), v.by, catalog.Query{Search: q, Order: catalog.Order(strings.TrimPrefix(by, "name")), Offset: (n - 1) * pageSize, Limit: pageSize + 1})
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
