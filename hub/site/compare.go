package site

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/contents"
	"github.com/berth-engine/berth/hub/status"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

type compareBody struct {
	Repo                        repoView
	Tags, Platforms             []string
	From, To, Platform, Problem string
	Result                      *comparison
}

type comparison struct {
	contents.Difference
	Same                 bool
	FromSize, ToSize     int64
	KeptLayers           int
	FileCount, MoreFiles int
}

func (v *visit) compare() error {
	repo, err := v.repository()
	if err != nil {
		return err
	}
	tags, err := v.Catalog.Tags(v.ctx(), repo.Repository, "", 0)
	if err != nil {
		return err
	}
	sortTags(tags, "newest")
	body := compareBody{Repo: repo, From: v.r.FormValue("from"), To: v.r.FormValue("to"), Platform: v.r.FormValue("platform")}
	digests := map[string]digest.Digest{}
	for _, t := range tags {
		body.Tags = append(body.Tags, t.Name)
		digests[t.Name] = digest.Digest(t.Digest)
	}
	asked := body.From != "" && body.To != ""
	if !asked {
		body.suggest(tags)
	}
	if asked {
		done, err := v.compareInto(&body, digests)
		if done || err != nil && status.Of(err) == 500 {
			return err
		}
		if err != nil {
			body.Problem = err.Error()
		}
	}
	return v.show("compare", repo.page("compare", "", body))
}

// suggest fills in what the address leaves out: the two newest tags, the older
// one first.
func (b *compareBody) suggest(newest []catalog.Tag) {
	for _, t := range newest {
		if b.To == "" && t.Name != b.From {
			b.To = t.Name
		} else if b.From == "" && t.Name != b.To {
			b.From = t.Name
		}
	}
}

// compareInto fills in the comparison; done says that the answer was sent.
func (v *visit) compareInto(body *compareBody, digests map[string]digest.Digest) (done bool, err error) {
	var lists [2][]contents.Variant
	for i, tag := range []string{body.From, body.To} {
		d, found := digests[tag]
		if !found {
			return false, fmt.Errorf("there is no tag %q here: %w", tag, errdefs.ErrInvalidArgument)
		}
		if lists[i], err = v.Contents.Variants(v.ctx(), body.Repo.Storage, d); err != nil {
			return false, err
		}
	}
	from, to := body.choose(lists[0], lists[1])
	if from == nil || to == nil {
		return false, fmt.Errorf("the tags have no platform in common: %w", errdefs.ErrInvalidArgument)
	}
	a, err := v.Contents.Image(v.ctx(), body.Repo.Storage, from.Digest)
	if err != nil {
		return false, err
	}
	b, err := v.Contents.Image(v.ctx(), body.Repo.Storage, to.Digest)
	if err != nil {
		return false, err
	}
	if a.Digest == b.Digest {
		body.Result = &comparison{Same: true}
		return false, nil
	}
	holdings, done, err := v.holding(body.Repo, "compare", a, b)
	if err != nil || done {
		return done, err
	}
	result := &comparison{Difference: contents.Compare(a, b, holdings[0], holdings[1]), FromSize: a.Size, ToSize: b.Size}
	for _, l := range result.Layers {
		if l.Change == contents.Kept {
			result.KeptLayers++
		}
	}
	result.FileCount = len(result.Files)
	// What weighs most is what people look for.
	slices.SortStableFunc(result.Files, func(x, y contents.FileChange) int { return cmp.Compare(abs(y.Delta), abs(x.Delta)) })
	result.MoreFiles = max(0, len(result.Files)-maxRows)
	result.Files = result.Files[:min(len(result.Files), maxRows)]
	body.Result = result
	return false, nil
}

// choose finds the platforms that both have, and the variants for the one that is
// asked for, or the first.
func (b *compareBody) choose(from, to []contents.Variant) (x, y *contents.Variant) {
	for i := range from {
		for j := range to {
			name := platform(from[i].Platform)
			if name != platform(to[j].Platform) || slices.Contains(b.Platforms, name) {
				continue
			}
			b.Platforms = append(b.Platforms, name)
			if b.Platform == "" {
				b.Platform = name
			}
			if name == b.Platform {
				x, y = &from[i], &to[j]
			}
		}
	}
	return x, y
}

func abs(n int64) int64 { return max(n, -n) }
