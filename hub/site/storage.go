package site

import (
	"fmt"
	"strings"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/mirror"
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
	if b.Reports, err = v.GC.Reports(v.ctx()); err != nil {
		return err
	}
	if v.Mirrors != nil {
		if b.Mirrors, err = v.Mirrors.List(v.ctx()); err != nil {
			return err
		}
	}
	return v.show("storage", Page{Title: "Storage", Section: "admin", Body: b})
}

func (v *visit) collect() error {
	if !v.session.User.Admin {
		return errNoPage
	}
	dry := v.r.PostFormValue("do") != "collect"
	report, err := v.GC.Collect(v.ctx(), dry)
	if err != nil {
		return err
	}
	said := fmt.Sprintf("%d blobs with %s removed", report.Blobs, size(report.Bytes))
	if dry {
		said = fmt.Sprintf("%d blobs with %s would go", report.Blobs, size(report.Bytes))
	}
	if err := v.logged(audit.Entry{Action: "gc", Target: "storage", Detail: said}); err != nil {
		return err
	}
	return v.done("/admin/storage", strings.ToUpper(said[:1])+said[1:]+".")
}

func (v *visit) createMirror() error {
	if !v.session.User.Admin || v.Mirrors == nil {
		return errNoPage
	}
	f := v.r.PostForm
	spec := mirror.Spec{
		Prefix: f.Get("prefix"), Upstream: f.Get("upstream"), Username: f.Get("username"), Password: f.Get("password"),
		AuthHosts: strings.Fields(f.Get("hosts")), Public: f.Get("public") != "",
	}
	m, err := v.Mirrors.Create(v.ctx(), spec)
	if err != nil {
		return v.again(refusedURL(err), func(text string) error {
			spec.Password = ""
			return v.showStorage(storageBody{Spec: spec, Problem: text})
		})
	}
	if err := v.logged(audit.Entry{Action: "mirror.create", Target: m.Prefix, Detail: m.Upstream}); err != nil {
		return err
	}
	return v.done("/admin/storage", "The mirror of "+m.Upstream+" is made.")
}

func (v *visit) removeMirror() error {
	if !v.session.User.Admin || v.Mirrors == nil {
		return errNoPage
	}
	m, err := v.Mirrors.Get(v.ctx(), v.r.PathValue("mirror"))
	if err == nil {
		err = v.Mirrors.Remove(v.ctx(), m.ID)
	}
	if err == nil {
		err = v.logged(audit.Entry{Action: "mirror.remove", Target: m.Prefix, Detail: m.Upstream})
	}
	if err != nil {
		return err
	}
	return v.done("/admin/storage", "The mirror of "+m.Upstream+" is removed, with what it kept.")
}
