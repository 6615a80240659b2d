package api

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/containerd/errdefs"
)

// catalogRoutes are about a repository itself; "" is the path that ends with
// /-/ or with the name.
var catalogRoutes = []route{
	{"GET ", getRepository},
	{"PUT ", setRepository},
	{"DELETE ", func(c *call) (any, error) { return nil, c.Catalog.Remove(c.ctx(), c.by, c.at.Repository) }},
	{"GET readme", getReadme},
	{"GET tags", listTags},
	{"GET tags/*", getTag},
	{"DELETE tags/*", removeTag},
	{"GET tags/*/history", history},
	{"POST tags/*/restore", restore},
	{"POST rename", rename},
	{"PUT star", func(c *call) (any, error) { return nil, c.Catalog.Star(c.ctx(), c.by, c.at.Repository, true) }},
	{"DELETE star", func(c *call) (any, error) { return nil, c.Catalog.Star(c.ctx(), c.by, c.at.Repository, false) }},
}

// grantRoutes say who has which role, in a repository or all of a namespace.
var grantRoutes = []route{
	{"GET grants", func(c *call) (any, error) {
		return c.Catalog.Grants(c.ctx(), c.by, c.namespace(), c.at.Repository)
	}},
	{"PUT grants/*/*", giveGrant},
	{"DELETE grants/*/*", func(c *call) (any, error) { return nil, c.Catalog.Take(c.ctx(), c.by, c.grant()) }},
}

// namespace is the one that the path is below, or that of its repository.
func (c *call) namespace() string {
	if c.at.Repository != "" {
		return catalog.NamespaceOf(c.at.Repository)
	}
	return c.at.Namespace
}

// grant is the one that the path names: grants/KIND/SUBJECT.
func (c *call) grant() catalog.Grant {
	return catalog.Grant{Namespace: c.namespace(), Repository: c.at.Repository, Kind: c.args[0], Subject: c.args[1]}
}

func giveGrant(c *call) (any, error) {
	var to struct {
		Role catalog.Role `json:"role"`
	}
	if err := c.read(&to); err != nil {
		return nil, err
	}
	g := c.grant()
	g.Role = to.Role
	return nil, c.Catalog.Give(c.ctx(), c.by, g)
}

// withRole is a repository and what who asks may do there.
type withRole struct {
	catalog.Repository
	Role catalog.Role `json:"role"`
}

func getRepository(c *call) (any, error) {
	repo, role, err := c.Catalog.Find(c.ctx(), c.by, c.at.Repository)
	return withRole{repo, role}, err
}

// number reads a parameter of the query that is a number; without it, 0.
func number(q url.Values, name string) (int, error) {
	text := q.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s=%s: give a number: %w", name, text, errdefs.ErrInvalidArgument)
	}
	return n, nil
}

func listRepositories(c *call) (any, error) {
	q := c.r.URL.Query()
	limit, err := number(q, "limit")
	if err != nil {
		return nil, err
	}
	query := catalog.Query{Search: q.Get("search"), Namespace: q.Get("namespace"), After: q.Get("after"), Order: catalog.Order(q.Get("order")), Limit: limit}
	if q.Get("starred") == "1" {
		if c.by.Kind != account.KindUser {
			return nil, fmt.Errorf("starred=1: sign in to see what you marked: %w", errdefs.ErrUnauthenticated)
		}
		query.StarredBy = c.by.ID
	}
	return c.Catalog.List(c.ctx(), c.by, query)
}

func createRepository(c *call) (any, error) {
	var n struct {
		Name        string `json:"name"`
		Public      bool   `json:"public"`
		Description string `json:"description"`
		Readme      string `json:"readme"`
	}
	if err := c.read(&n); err != nil {
		return nil, err
	}
	repo, err := c.Catalog.Create(c.ctx(), c.by, n.Name, n.Public)
	if err == nil && n.Description+n.Readme != "" {
		err = c.Catalog.SetText(c.ctx(), c.by, repo.Name, n.Description, n.Readme)
		repo.Description = n.Description
	}
	return repo, err
}

// setRepository changes what the body has.
func setRepository(c *call) (any, error) {
	var n struct {
		Public      *bool   `json:"public"`
		Description *string `json:"description"`
		Readme      *string `json:"readme"`
	}
	if err := c.read(&n); err != nil {
		return nil, err
	}
	if n.Public != nil {
		if err := c.Catalog.SetPublic(c.ctx(), c.by, c.at.Repository, *n.Public); err != nil {
			return nil, err
		}
	}
	if n.Description != nil || n.Readme != nil {
		repo, _, err := c.Catalog.Find(c.ctx(), c.by, c.at.Repository)
		if err != nil {
			return nil, err
		}
		readme, err := c.Catalog.Readme(c.ctx(), repo)
		if err != nil {
			return nil, err
		}
		if n.Description != nil {
			repo.Description = *n.Description
		}
		if n.Readme != nil {
			readme = *n.Readme
		}
		if err := c.Catalog.SetText(c.ctx(), c.by, c.at.Repository, repo.Description, readme); err != nil {
			return nil, err
		}
	}
	return getRepository(c)
}

func getReadme(c *call) (any, error) {
	repo, _, err := c.Catalog.Find(c.ctx(), c.by, c.at.Repository)
	if err != nil {
		return nil, err
	}
	text, err := c.Catalog.Readme(c.ctx(), repo)
	return map[string]string{"readme": text}, err
}

func listTags(c *call) (any, error) {
	repo, _, err := c.Catalog.Find(c.ctx(), c.by, c.at.Repository)
	if err != nil {
		return nil, err
	}
	limit, err := number(c.r.URL.Query(), "limit")
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = 100
	}
	return c.Catalog.Tags(c.ctx(), repo, c.r.URL.Query().Get("after"), min(limit, 1000))
}

func getTag(c *call) (any, error) {
	repo, _, err := c.Catalog.Find(c.ctx(), c.by, c.at.Repository)
	if err != nil {
		return nil, err
	}
	return c.Catalog.Tag(c.ctx(), repo, c.args[0])
}

func removeTag(c *call) (any, error) {
	repo, _, err := c.Catalog.Find(c.ctx(), c.by, c.at.Repository)
	if err == nil {
		_, err = c.Catalog.Untag(c.ctx(), c.by, repo, c.args[0])
	}
	if err == nil {
		c.Webhooks.Poke()
	}
	return nil, err
}

func history(c *call) (any, error) {
	repo, _, err := c.Catalog.Find(c.ctx(), c.by, c.at.Repository)
	if err != nil {
		return nil, err
	}
	return c.Catalog.History(c.ctx(), repo, c.args[0], 0)
}

func restore(c *call) (any, error) {
	var to struct {
		Digest string `json:"digest"`
	}
	if err := c.read(&to); err != nil {
		return nil, err
	}
	change, err := c.Catalog.Retag(c.ctx(), c.by, c.at.Repository, c.args[0], to.Digest, catalog.Restore)
	if err != nil {
		return nil, err
	}
	c.Webhooks.Poke()
	return map[string]string{"tag": change.Tag, "digest": change.Digest, "previous": change.Previous}, nil
}

func rename(c *call) (any, error) {
	var to struct {
		To string `json:"to"`
	}
	if err := c.read(&to); err != nil {
		return nil, err
	}
	return nil, c.Catalog.Rename(c.ctx(), c.by, c.at.Repository, to.To)
}
