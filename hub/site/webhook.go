package site

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/containerd/errdefs"
)

func (s *Site) hookRoutes(at func(pattern string, h func(*visit) error)) {
	at("GET /settings/webhooks", (*visit).webhooks)
	at("POST /settings/webhooks", (*visit).createHook)
	at("GET /settings/webhooks/{hook}", (*visit).webhook)
	at("POST /settings/webhooks/{hook}", (*visit).updateHook)
	at("POST /settings/webhooks/{hook}/ping", (*visit).pingHook)
	at("POST /settings/webhooks/{hook}/delete", (*visit).deleteHook)
	at("GET /settings/webhooks/{hook}/{delivery}", (*visit).delivery)
	at("POST /settings/webhooks/{hook}/{delivery}/again", (*visit).redeliver)
}

// audited writes down what somebody did through a service that keeps no log of
// its own.
func (v *visit) audited(repo repoView, action, target, detail string) error {
	return v.logged(audit.Entry{Action: action, Namespace: repo.Namespace, Target: target, Detail: detail})
}

func (v *visit) logged(e audit.Entry) error {
	return account.Audited(v.ctx(), v.DB, v.by, e, func(*store.Tx) error { return nil })
}

type hooksBody struct {
	Repo    repoView
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
	if b.Repo, err = v.administered(); err != nil {
		return err
	}
	if b.Hooks, err = v.Webhooks.List(v.ctx(), b.Repo.ID); err != nil {
		return err
	}
	b.Events = eventChoices([]string{webhook.Push})
	return v.show("webhooks", b.Repo.page("settings", "webhooks", b))
}

func (v *visit) spec() webhook.Spec {
	f := v.r.PostForm
	return webhook.Spec{URL: f.Get("url"), Events: f["event"], Secret: f.Get("secret"), Paused: f.Get("paused") != ""}
}

func (v *visit) createHook() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	hook, secret, err := v.Webhooks.Create(v.ctx(), repo.ID, v.spec())
	if err != nil {
		return v.again(refusedURL(err), func(text string) error { return v.showHooks(hooksBody{URL: v.spec().URL, Problem: text}) })
	}
	if err := v.audited(repo, "webhook.create", repo.Name, hook.URL); err != nil {
		return err
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
	Repo       repoView
	Hook       webhook.Hook
	Events     []eventChoice
	Deliveries []webhook.Delivery
	Older      string
	Problem    string
}

// hook is the webhook that the address names, and its repository.
func (v *visit) hook() (repo repoView, hook webhook.Hook, err error) {
	if repo, err = v.administered(); err == nil {
		hook, err = v.Webhooks.Get(v.ctx(), repo.ID, v.r.PathValue("hook"))
	}
	return repo, hook, err
}

func (v *visit) webhook() error { return v.showHook("") }

func (v *visit) showHook(problem string) error {
	repo, hook, err := v.hook()
	if err != nil {
		return err
	}
	list, err := v.Webhooks.Deliveries(v.ctx(), repo.ID, hook.ID, v.r.FormValue("before"))
	if err != nil {
		return err
	}
	body := hookBody{Repo: repo, Hook: hook, Events: eventChoices(hook.Events), Deliveries: list, Problem: problem}
	if len(list) == 100 {
		body.Older = "?before=" + list[99].ID
	}
	return v.show("webhook", repo.page("settings", "webhooks", body))
}

func (v *visit) hookPath(repo repoView) string {
	return v.settingsPath(repo, "webhooks/"+v.r.PathValue("hook"))
}

func (v *visit) updateHook() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	hook, err := v.Webhooks.Update(v.ctx(), repo.ID, v.r.PathValue("hook"), v.spec())
	if err != nil {
		return v.again(refusedURL(err), v.showHook)
	}
	if err := v.audited(repo, "webhook.update", repo.Name, hook.URL); err != nil {
		return err
	}
	return v.done(v.hookPath(repo), "The webhook is saved.")
}

func (v *visit) pingHook() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	d, err := v.Webhooks.Ping(v.ctx(), repo.ID, v.r.PathValue("hook"), repo.Name, v.by.Name)
	if err != nil {
		return v.again(err, v.showHook)
	}
	return v.done(v.hookPath(repo)+"/"+d.ID, "A ping is on its way.")
}

func (v *visit) deleteHook() error {
	repo, hook, err := v.hook()
	if err == nil {
		err = v.Webhooks.Remove(v.ctx(), repo.ID, hook.ID)
	}
	if err == nil {
		err = v.audited(repo, "webhook.delete", repo.Name, hook.URL)
	}
	if err != nil {
		return err
	}
	return v.done(v.settingsPath(repo, "webhooks"), "The webhook is removed.")
}

type deliveryBody struct {
	Repo     repoView
	Hook     webhook.Hook
	Delivery webhook.Delivery
	JSON     string
}

func (v *visit) delivery() error {
	repo, hook, err := v.hook()
	if err != nil {
		return err
	}
	d, err := v.Webhooks.Delivery(v.ctx(), repo.ID, hook.ID, v.r.PathValue("delivery"))
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, d.Body, "", "  "); err != nil {
		return fmt.Errorf("delivery %s: %w", d.ID, err)
	}
	page := repo.page("settings", "webhooks", deliveryBody{repo, hook, d, text.String()})
	if d.State == webhook.Pending {
		page.Refresh = 3
	}
	return v.show("delivery", page)
}

func (v *visit) redeliver() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	d, err := v.Webhooks.Redeliver(v.ctx(), repo.ID, v.r.PathValue("hook"), v.r.PathValue("delivery"))
	if err == nil {
		err = v.audited(repo, "webhook.redeliver", repo.Name, d.Redelivers)
	}
	if err != nil {
		return err
	}
	return v.done(v.hookPath(repo)+"/"+d.ID, "It is delivered once more.")
}
