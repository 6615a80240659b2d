package site

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/contents"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

type imageBody struct {
	Repo             repoView
	Tag, Pusher      string
	Pushed           time.Time
	Pulls            int64
	Variants         []contents.Variant
	Image            contents.Image
	Steps            []stepRow
	Layers           []contents.Layer
	Settings         []contents.Setting
	Pull, PullDigest string
}

type stepRow struct {
	contents.Step
	Share int64 // percent of the image
}

// variant finds the image of a tag that the address asks for, the first when it
// does not say.
func (v *visit) variant() (repoView, catalog.Tag, []contents.Variant, contents.Image, error) {
	repo, tag, err := v.tagged()
	if err != nil {
		return repo, tag, nil, contents.Image{}, err
	}
	variants, err := v.Contents.Variants(v.ctx(), repo.Storage, digest.Digest(tag.Digest))
	if err != nil {
		return repo, tag, nil, contents.Image{}, err
	}
	if len(variants) == 0 {
		return repo, tag, nil, contents.Image{}, errdefs.ErrFailedPrecondition.WithMessage("the index of this tag names no image")
	}
	chosen := variants[0].Digest
	if asked := v.r.FormValue("digest"); asked != "" {
		i := slices.IndexFunc(variants, func(x contents.Variant) bool { return string(x.Digest) == asked })
		if i < 0 {
			return repo, tag, nil, contents.Image{}, fmt.Errorf("%s is not of this tag: %w", asked, errdefs.ErrNotFound)
		}
		chosen = variants[i].Digest
	}
	image, err := v.Contents.Image(v.ctx(), repo.Storage, chosen)
	return repo, tag, variants, image, err
}

func (v *visit) image() error {
	repo, tag, variants, image, err := v.variant()
	if err != nil {
		return err
	}
	body := imageBody{
		Repo: repo, Tag: tag.Name, Pusher: tag.Pusher, Pushed: tag.Pushed, Pulls: tag.Pulls, Variants: variants, Image: image,
		Layers: image.Layers, Settings: contents.Settings(image.Config),
		Pull: "docker pull " + v.reference(repo, tag.Name), PullDigest: fmt.Sprintf("docker pull %s/%s@%s", v.host(), repo.Name, image.Digest),
	}
	for _, s := range image.Steps {
		row := stepRow{Step: s}
		if s.Layer != nil && image.Size > 0 {
			row.Share = 100 * s.Layer.Size / image.Size
		}
		body.Steps = append(body.Steps, row)
	}
	page := repo.page("tags", "", body)
	page.Title = repo.Name + ":" + tag.Name
	return v.show("image", page)
}

type filesBody struct {
	Repo     repoView
	Tag      string
	Image    contents.Image
	Total    int64
	Count    int
	Crumbs   []crumb
	Entries  []contents.Entry
	More     int
	Packages []contents.Package
}

type crumb struct{ Name, Path string }

// maxRows is how many files or changes a page lists.
const maxRows = 1000

func (v *visit) files() error {
	repo, tag, _, image, err := v.variant()
	if err != nil {
		return err
	}
	list, done, err := v.holding(repo, "tags", image)
	if err != nil || done {
		return err
	}
	dir := strings.Trim(v.r.FormValue("path"), "/")
	entries, found := list[0].Dir(dir)
	if !found {
		return fmt.Errorf("no directory %q in the image: %w", dir, errdefs.ErrNotFound)
	}
	body := filesBody{
		Repo: repo, Tag: tag.Name, Image: image, Total: list[0].Size, Count: len(list[0].Files),
		Entries: entries[:min(len(entries), maxRows)], More: max(0, len(entries)-maxRows), Packages: list[0].Packages,
	}
	at := ""
	for _, name := range strings.FieldsFunc(dir, func(r rune) bool { return r == '/' }) {
		at = strings.TrimPrefix(at+"/"+name, "/")
		body.Crumbs = append(body.Crumbs, crumb{name, at})
	}
	page := repo.page("tags", "", body)
	page.Title = "Files of " + repo.Name + ":" + tag.Name
	return v.show("files", page)
}
