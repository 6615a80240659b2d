package site

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/containerd/errdefs"
)

// hookRoutes are for repositories and for namespaces, whose address of webhooks
// is prefix.
func hookRoutes(prefix string, at func(pattern string, h func(*visit) error)) {
	at("GET "+prefix, (*visit).webhooks)
	at("POST "+prefix, (*visit).createHook)
	at("GET "+prefix+"/{hook}", (*visit).webhook)
	at("POST "+prefix+"/{hook}", (*visit).updateHook)
	at("POST "+prefix+"/{hook}/ping", (*visit).pingHook)
	at("POST "+prefix+"/{hook}/delete", (*visit).deleteHook)
	at("GET "+prefix+"/{hook}/{delivery}", (*visit).delivery)
	at("POST "+prefix+"/{hook}/{delivery}/again", (*visit).redeliver)
}

// hooked is what webhooks belong to: one of both.
type hooked struct {
	Repo  *repoView
	Space *spaceBody
	Base  string // the address of its webhooks' page
}

// hooked is what the address names, for who may administer it.
func (v *visit) hooked() (h hooked, err error) {
	if v.r.PathValue("space") != "" {
		space, err := v.namespace()
		if err == nil && !space.Owner && !v.Catalog.Open() {
			err = errNoPage
		}
		return hooked{Space: &space, Base: "/u/" + space.Name + "/-/webhooks"}, err
	}
	repo, err := v.administered()
	return hooked{Repo: &repo, Base: v.settingsPath(repo, "webhooks")}, err
}

func (h hooked) place() catalog.Place {
	if h.Space != nil {
		return catalog.Place{Namespace: h.Space.Name}
	}
	return catalog.Place{Repository: h.Repo.Name}
}

func (h hooked) page(body any) Page {
	if h.Space != nil {
		return h.Space.page("webhooks", body)
	}
	return h.Repo.page("settings", "webhooks", body)
}

type hooksBody struct {
	hooked
	Hooks   []webhook.Hook
	Events  []eventChoice
	Secret  string
	URL     string
	Problem string
}

type eventChoice struct {
	Event, Label string
	Checked      bool
}

func eventChoices(chosen []string) []eventChoice {
	list := []eventChoice{{webhook.Push, "A tag is pushed", false}, {webhook.Delete, "A tag or manifest is removed", false}, {webhook.Build, "A build ends", false}}
	for i := range list {
		for _, c := range chosen {
			list[i].Checked = list[i].Checked || c == list[i].Event
		}
	}
	return list
}

func (v *visit) webhooks() error { return v.showHooks(hooksBody{}) }

func (v *visit) showHooks(b hooksBody) (err error) {
	if b.hooked, err = v.hooked(); err != nil {
		return err
	}
	if b.Hooks, err = v.Webhooks.List(v.ctx(), v.by, b.place()); err != nil {
		return err
	}
	b.Events = eventChoices([]string{webhook.Push})
	return v.show("webhooks", b.page(b))
}

func (v *visit) spec() webhook.Spec {
	f := v.r.PostForm
	return webhook.Spec{URL: f.Get("url"), Events: f["event"], Secret: f.Get("secret"), Paused: f.Get("paused") != ""}
}

func (v *visit) createHook() error {
	at, err := v.hooked()
	if err != nil {
		return err
	}
	hook, secret, err := v.Webhooks.Create(v.ctx(), v.by, at.place(), v.spec())
	if err != nil {
		return v.again(refusedURL(err), func(text string) error { return v.showHooks(hooksBody{URL: v.spec().URL, Problem: text}) })
	}
	return v.showHooks(hooksBody{Secret: secret, URL: hook.URL})
}

// refusedURL makes an address that must not be called a problem of the form.
func refusedURL(err error) error {
	if errdefs.IsPermissionDenied(err) {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return err
}

type hookBody struct {
	hooked
	Hook       webhook.Hook
	Events     []eventChoice
	Deliveries []webhook.Delivery
	Older      string
	Problem    string
}

// hook is the webhook that the address names, and what it belongs to.
func (v *visit) hook() (at hooked, hook webhook.Hook, err error) {
	if at, err = v.hooked(); err == nil {
		hook, err = v.Webhooks.Get(v.ctx(), v.by, at.place(), v.r.PathValue("hook"))
	}
	return at, hook, err
}

func (v *visit) webhook() error { return v.showHook("") }

func (v *visit) showHook(problem string) error {
	at, hook, err := v.hook()
	if err != nil {
		return err
	}
	list, err := v.Webhooks.Deliveries(v.ctx(), v.by, at.place(), hook.ID, v.r.FormValue("before"))
	if err != nil {
		return err
	}
	body := hookBody{hooked: at, Hook: hook, Events: eventChoices(hook.Events), Deliveries: list, Problem: problem}
	if len(list) == 100 {
		body.Older = "?before=" + list[99].ID
	}
	return v.show("webhook", at.page(body))
}

func (v *visit) hookPath(at hooked) string { return at.Base + "/" + v.r.PathValue("hook") }

func (v *visit) updateHook() error {
	at, err := v.hooked()
	if err != nil {
		return err
	}
	if _, err := v.Webhooks.Update(v.ctx(), v.by, at.place(), v.r.PathValue("hook"), v.spec()); err != nil {
		return v.again(refusedURL(err), v.showHook)
	}
	return v.done(v.hookPath(at), "The webhook is saved.")
}

func (v *visit) pingHook() error {
	at, err := v.hooked()
	if err != nil {
		return err
	}
	d, err := v.Webhooks.Ping(v.ctx(), v.by, at.place(), v.r.PathValue("hook"))
	if err != nil {
		return v.again(err, v.showHook)
	}
	return v.done(v.hookPath(at)+"/"+d.ID, "A ping is on its way.")
}

func (v *visit) deleteHook() error {
	at, err := v.hooked()
	if err == nil {
		err = v.Webhooks.Remove(v.ctx(), v.by, at.place(), v.r.PathValue("hook"))
	}
	if err != nil {
		return err
	}
	return v.done(at.Base, "The webhook is removed.")
}

type deliveryBody struct {
	hooked
	Hook     webhook.Hook
	Delivery webhook.Delivery
	JSON     string
}

func (v *visit) delivery() error {
	at, hook, err := v.hook()
	if err != nil {
		return err
	}
	d, err := v.Webhooks.Delivery(v.ctx(), v.by, at.place(), hook.ID, v.r.PathValue("delivery"))
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, d.Body, "", "  "); err != nil {
		return fmt.Errorf("delivery %s: %w", d.ID, err)
	}
	page := at.page(deliveryBody{at, hook, d, text.String()})
	if d.State == webhook.Pending {
		page.Refresh = 3
	}
	return v.show("delivery", page)
}

func (v *visit) redeliver() error {
	at, err := v.hooked()
	if err != nil {
		return err
	}
	d, err := v.Webhooks.Redeliver(v.ctx(), v.by, at.place(), v.r.PathValue("hook"), v.r.PathValue("delivery"))
	if err != nil {
		return v.again(err, v.showHook)
	}
	return v.done(v.hookPath(at)+"/"+d.ID, "It is delivered once more.")
}
