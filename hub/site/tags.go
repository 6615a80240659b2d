package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/contents"
	"github.com/berth-engine/berth/hub/readme"
	"github.com/berth-engine/berth/hub/status"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

var errNotAdmin = fmt.Errorf("only who administers this repository may do that: %w", errdefs.ErrPermissionDenied)

type overviewBody struct {
	Repo      repoView
	Readme    template.HTML
	Tags      []catalog.Tag
	Platforms []string
	Pull      string
}

func (v *visit) overview() error {
	repo, err := v.repository()
	if err != nil {
		return err
	}
	text, err := v.Catalog.Readme(v.ctx(), repo.Repository)
	if err != nil {
		return err
	}
	body := overviewBody{Repo: repo}
	if text != "" {
		if body.Readme, err = readme.HTML(text); err != nil {
			return err
		}
	}
	all, err := v.Catalog.Tags(v.ctx(), repo.Repository, "", 0)
	if err != nil {
		return err
	}
	sortTags(all, "newest")
	body.Tags = all[:min(len(all), 8)]
	if main := preferred(all); main != nil {
		body.Pull = "docker pull " + v.reference(repo, main.Name)
		variants, err := v.Contents.Variants(v.ctx(), repo.Storage, digest.Digest(main.Digest))
		if err == nil { // else the tag's own page says what is wrong
			for _, x := range variants {
				body.Platforms = append(body.Platforms, platform(x.Platform))
			}
		}
	}
	return v.show("repository", repo.page("overview", "", body))
}

// preferred is the tag that people pull without naming one, else the newest.
func preferred(newest []catalog.Tag) *catalog.Tag {
	for i, t := range newest {
		if t.Name == "latest" {
			return &newest[i]
		}
	}
	if len(newest) > 0 {
		return &newest[0]
	}
	return nil
}

// reference is how a client names an image of this Hub.
func (v *visit) reference(repo repoView, tag string) string {
	return v.host() + "/" + repo.Name + ":" + tag
}

func sortTags(tags []catalog.Tag, by string) {
	slices.SortStableFunc(tags, func(a, b catalog.Tag) int {
		switch by {
		case "name":
			return cmp.Compare(a.Name, b.Name)
		case "pulls":
			return cmp.Or(cmp.Compare(b.Pulls, a.Pulls), cmp.Compare(a.Name, b.Name))
		}
		return cmp.Or(b.Pushed.Compare(a.Pushed), cmp.Compare(b.Name, a.Name))
	})
}

type tagsBody struct {
	Repo                   repoView
	Tags                   []tagRow
	Filter, Previous, Next string
	Orders                 []order
}

type tagRow struct {
	catalog.Tag
	Variants []contents.Variant
	Problem  string
}

// tagsPerPage is less than pageSize: each tag's manifests are read.
const tagsPerPage = 12

func (v *visit) tags() error {
	repo, err := v.repository()
	if err != nil {
		return err
	}
	n, err := v.number()
	if err != nil {
		return err
	}
	all, err := v.Catalog.Tags(v.ctx(), repo.Repository, "", 0)
	if err != nil {
		return err
	}
	body := tagsBody{Repo: repo, Filter: v.r.FormValue("filter")}
	var by string
	body.Orders, by = orders(v.r.FormValue("sort"), "newest", "Newest first", "name", "Name", "pulls", "Most pulled")
	all = slices.DeleteFunc(all, func(t catalog.Tag) bool { return !strings.Contains(t.Name, body.Filter) })
	sortTags(all, by)
	start := min((n-1)*tagsPerPage, len(all))
	end := min(start+tagsPerPage, len(all))
	for _, t := range all[start:end] {
		row := tagRow{Tag: t}
		if row.Variants, err = v.Contents.Variants(v.ctx(), repo.Storage, digest.Digest(t.Digest)); err != nil {
			row.Problem = unreadable(err)
		}
		body.Tags = append(body.Tags, row)
	}
	body.Previous, body.Next = v.neighbours(n, end < len(all))
	return v.show("tags", repo.page("tags", "", body))
}

// unreadable says why a manifest cannot be shown without failing the whole page.
func unreadable(err error) string {
	if status.Of(err) == 500 {
		return "This manifest cannot be read now."
	}
	return err.Error()
}

// tagged finds the tag that the address names.
func (v *visit) tagged() (repoView, catalog.Tag, error) {
	repo, err := v.repository()
	if err != nil {
		return repo, catalog.Tag{}, err
	}
	tag, err := v.Catalog.Tag(v.ctx(), repo.Repository, v.r.PathValue("tag"))
	return repo, tag, err
}

func (v *visit) deleteTag() error {
	repo, tag, err := v.tagged()
	if err != nil {
		return err
	}
	if !repo.CanAdmin {
		return errNotAdmin
	}
	if _, err := v.Catalog.Untag(v.ctx(), v.by, repo.Repository, tag.Name); err != nil {
		return err
	}
	v.wake()
	return v.done(repoPath(repo.Name)+"/-/tags", fmt.Sprintf("The tag %s is removed. Its history can restore it.", tag.Name))
}

func (v *visit) restoreTag() error {
	repo, err := v.repository()
	if err != nil {
		return err
	}
	tag, d := v.r.PathValue("tag"), v.r.PostFormValue("digest")
	if _, err := v.Catalog.Retag(v.ctx(), v.by, repo.Name, tag, d, catalog.Restore); err != nil {
		return err
	}
	v.wake()
	return v.done(repoPath(repo.Name)+"/-/history", fmt.Sprintf("%s is %s again.", tag, short(d)))
}

// wake has webhooks told of a change at once.
func (v *visit) wake() {
	if v.Webhooks != nil {
		v.Webhooks.Poke()
	}
}

type historyBody struct {
	Repo    repoView
	History []historyRow
}

type historyRow struct {
	catalog.Event
	CanRestore bool
}

// Name is who did it.
func (h historyRow) Name() string { return h.By }

func (v *visit) history() error {
	repo, err := v.repository()
	if err != nil {
		return err
	}
	events, err := v.Catalog.History(v.ctx(), repo.Repository, "", 200)
	if err != nil {
		return err
	}
	tags, err := v.Catalog.Tags(v.ctx(), repo.Repository, "", 0)
	if err != nil {
		return err
	}
	current := map[string]string{}
	for _, t := range tags {
		current[t.Name] = t.Digest
	}
	body := historyBody{Repo: repo}
	for _, e := range events {
		body.History = append(body.History, historyRow{e, e.Digest != "" && current[e.Tag] != e.Digest})
	}
	return v.show("history", repo.page("history", "", body))
}

// patience is how long a page waits for layers to be read before it says so.
const patience = 4 * time.Second

// holding reads what an image holds. When that takes longer than a visitor
// waits, the page that looks again by itself is shown, and done is true.
func (v *visit) holding(repo repoView, section string, images ...contents.Image) (list []*contents.Holding, done bool, err error) {
	ctx, cancel := context.WithTimeout(v.ctx(), patience)
	defer cancel()
	for _, image := range images {
		h, err := v.Contents.Holding(ctx, repo.Storage, image)
		if errors.Is(err, contents.ErrReading) && v.ctx().Err() == nil {
			page := repo.page(section, "", overviewBody{Repo: repo})
			page.Refresh = 3
			return nil, true, v.show("reading", page)
		}
		if err != nil {
			return nil, false, err
		}
		list = append(list, h)
	}
	return list, false, nil
}
