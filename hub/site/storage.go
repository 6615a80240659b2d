package site

import (
	"fmt"
	"strings"

	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/mirror"
	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

type storageBody struct {
	Reports []gc.Report
	Mirrors []mirror.Mirror
	Spec    mirror.Spec // what was typed, without its password
	Problem string
}

func (v *visit) storage() error { return v.showStorage(storageBody{}) }

func (v *visit) showStorage(b storageBody) (err error) {
	if !v.session.User.Admin {
		return errNoPage
	}
	if b.Reports, err = v.GC.Reports(v.ctx(), v.by); err != nil {
		return err
	}
	if v.Mirrors != nil {
		if b.Mirrors, err = v.Mirrors.List(v.ctx(), v.by); err != nil {
			return err
		}
	}
	page := Page{Title: "Storage", Section: "admin", Body: b}
	if len(b.Reports) > 0 && b.Reports[0].Ended.IsZero() {
		page.Refresh = 3
	}
	return v.show("storage", page)
}

func (v *visit) collect() error {
	if !v.session.User.Admin {
		return errNoPage
	}
	_, err := v.GC.Begin(v.ctx(), v.by, v.r.PostFormValue("do") != "collect")
	if err != nil {
		return v.again(err, func(text string) error { return v.showStorage(storageBody{Problem: text}) })
	}
	return v.done("/admin/storage", "A collection has begun; this page shows how it goes.")
}

// mirrorSpec is what a mirror's form holds.
func (v *visit) mirrorSpec() (mirror.Spec, error) {
	f := v.r.PostForm
	spec := mirror.Spec{
		Prefix: f.Get("prefix"), Upstream: f.Get("upstream"), Username: f.Get("username"), Password: f.Get("password"),
		AuthHosts: strings.Fields(f.Get("hosts")), Public: f.Get("public") != "",
	}
	fresh, err := numeral("seconds", f.Get("fresh"))
	if err != nil {
		return spec, err
	}
	spec.FreshSeconds = int64(fresh)
	// Sizes are shown with a space that does not break.
	if text := strings.TrimSpace(strings.ReplaceAll(f.Get("capacity"), "\u00a0", " ")); text != "" {
		if spec.Capacity, err = units.FromHumanSize(text); err != nil || spec.Capacity < 0 {
			return spec, fmt.Errorf("the capacity %q is no size, such as 50GB: %w", text, errdefs.ErrInvalidArgument)
		}
	}
	return spec, nil
}

func (v *visit) createMirror() error {
	if !v.session.User.Admin {
		return errNoPage
	}
	spec, err := v.mirrorSpec()
	var m mirror.Mirror
	if err == nil {
		m, err = v.Mirrors.Create(v.ctx(), v.by, spec)
	}
	if err != nil {
		return v.again(refusedURL(err), func(text string) error {
			spec.Password = ""
			return v.showStorage(storageBody{Spec: spec, Problem: text})
		})
	}
	return v.done("/admin/storage", "The mirror of "+m.Upstream+" is made.")
}

type mirrorBody struct {
	Mirror  mirror.Mirror
	Spec    mirror.Spec
	Problem string
}

func (v *visit) mirror() error { return v.showMirror(nil, "") }

// showMirror shows a mirror's settings, or those that were typed.
func (v *visit) showMirror(typed *mirror.Spec, problem string) error {
	if !v.session.User.Admin {
		return errNoPage
	}
	m, err := v.Mirrors.Get(v.ctx(), v.by, v.r.PathValue("mirror"))
	if err != nil {
		return err
	}
	body := mirrorBody{Mirror: m, Problem: problem, Spec: mirror.Spec{
		Prefix: m.Prefix, Upstream: m.Upstream, Username: m.Username, AuthHosts: m.AuthHosts, Public: m.Public, FreshSeconds: m.FreshSeconds, Capacity: m.Capacity,
	}}
	if typed != nil {
		body.Spec = *typed
		body.Spec.Password = ""
	}
	return v.show("mirror", Page{Title: "Mirror of " + m.Upstream, Section: "admin", Body: body})
}

func (v *visit) updateMirror() error {
	if !v.session.User.Admin {
		return errNoPage
	}
	spec, err := v.mirrorSpec()
	if err == nil {
		_, err = v.Mirrors.Update(v.ctx(), v.by, v.r.PathValue("mirror"), spec)
	}
	if err != nil {
		return v.again(refusedURL(err), func(text string) error { return v.showMirror(&spec, text) })
	}
	return v.done("/admin/storage", "The mirror of "+spec.Upstream+" is changed.")
}

func (v *visit) removeMirror() error {
	if !v.session.User.Admin {
		return errNoPage
	}
	m, err := v.Mirrors.Get(v.ctx(), v.by, v.r.PathValue("mirror"))
	if err == nil {
		err = v.Mirrors.Remove(v.ctx(), v.by, m.ID)
	}
	if err != nil {
		return err
	}
	return v.done("/admin/storage", "The mirror of "+m.Upstream+" is removed, with what it kept.")
}
