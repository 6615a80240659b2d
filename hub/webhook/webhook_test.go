package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
)

// tester acts at one place, and not at the other.
var (
	tester = account.System("test")
	here   = catalog.Place{Repository: "a/here"}
	there  = catalog.Place{Repository: "a/there"}
)

// id is a place's.
func id(t *testing.T, s *Service, at catalog.Place) string {
	t.Helper()
	found, err := s.Catalog.May(t.Context(), s.DB, tester, at, catalog.Admin)
	if err != nil {
		t.Fatal(err)
	}
	return found.ID
}

// bench is a Service on a database of its own, whose receivers are on loopback.
func bench(t *testing.T, change func(*Options)) *Service {
	t.Helper()
	db := storetest.Open(t, database(t))
	key, err := seal.New([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	names := catalog.New(db, catalog.Options{})
	for _, at := range []catalog.Place{here, there} {
		if _, err := names.Create(t.Context(), tester, at.Repository, false); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{
		DB: db, Catalog: names, Key: key, Policy: outbound.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Pauses: make([]time.Duration, 3),
	}
	if change != nil {
		change(&o)
	}
	return New(o)
}

// run delivers until the function that it returns is called.
func run(t *testing.T, s *Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// receiver answers with what answer says for each call, and keeps the calls.
func receiver(t *testing.T, answer func(n int, w http.ResponseWriter)) (string, chan call) {
	t.Helper()
	calls := make(chan call, 100)
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		n++
		answer(n, w)
		calls <- call{r.Header, body}
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

type call struct {
	header http.Header
	body   []byte
}

// await asks until a delivery has ended.
func await(t *testing.T, s *Service, hook, id string) Delivery {
	t.Helper()
	for {
		d, err := s.Delivery(t.Context(), tester, here, hook, id)
		if err != nil {
			t.Fatal(err)
		}
		if d.State != Pending {
			return d
		}
		select {
		case <-t.Context().Done():
			t.Fatal("it never ended")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func only(t *testing.T, s *Service, hook string) Delivery {
	t.Helper()
	list, err := s.Deliveries(t.Context(), tester, here, hook, "")
	if err != nil || len(list) != 1 {
		t.Fatalf("%d deliveries, %v", len(list), err)
	}
	return list[0]
}

func TestDelivered(t *testing.T) {
	s := bench(t, nil)
	url, calls := receiver(t, func(_ int, w http.ResponseWriter) { _, _ = io.WriteString(w, "thanks\x00\xff") })
	h, secret, err := s.Create(t.Context(), tester, here, Spec{URL: url + "/in?x=1"})
	if err != nil {
		t.Fatal(err)
	}
	var sealed string
	if err := s.DB.QueryRow(t.Context(), "SELECT secret FROM webhooks").Scan(&sealed); err != nil || strings.Contains(sealed, secret) {
		t.Errorf("the database has %q, %v", sealed, err)
	}
	// Not wanted, or not of this owner: nothing is written.
	for _, e := range []struct {
		owner catalog.Place
		event string
	}{{here, Delete}, {there, Push}} {
		if err := s.Emit(t.Context(), []string{id(t, s, e.owner)}, Event{Event: e.event}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, s)
	sent := Event{Event: Push, Time: now(), Repository: "a/b", Tag: "1", Digest: "sha256:x", Actor: "ann"}
	if err := s.Emit(t.Context(), []string{id(t, s, there), id(t, s, here)}, sent); err != nil {
		t.Fatal(err)
	}
	c := <-calls
	if !Verify(secret, c.body, c.header.Get(SignatureHeader)) || Verify("x", c.body, c.header.Get(SignatureHeader)) || Verify("", c.body, Sign("", c.body)) {
		t.Errorf("signature %q", c.header.Get(SignatureHeader))
	}
	var got Event
	if err := json.Unmarshal(c.body, &got); err != nil {
		t.Fatal(err)
	}
	sent.Delivery = c.header.Get("X-Berth-Delivery")
	if got != sent || c.header.Get("X-Berth-Event") != Push || sent.Delivery == "" {
		t.Errorf("got %+v with %v", got, c.header)
	}
	d := await(t, s, h.ID, only(t, s, h.ID).ID)
	if d.State != Delivered || len(d.Log) != 1 || d.Log[0].Status != 200 || d.Log[0].Answer != "thanks\uFFFD" || string(d.Body) != string(c.body) {
		t.Errorf("logged %+v", d)
	}

	again, err := s.Redeliver(t.Context(), tester, here, h.ID, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	c = <-calls
	if err := json.Unmarshal(c.body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Delivery != again.ID || got.Tag != "1" || again.Redelivers != d.ID || !Verify(secret, c.body, c.header.Get(SignatureHeader)) {
		t.Errorf("again: %+v as %+v", got, again)
	}
	if _, err := s.Ping(t.Context(), tester, here, h.ID); err != nil {
		t.Fatal(err)
	}
	if c = <-calls; c.header.Get("X-Berth-Event") != Ping {
		t.Errorf("ping: %v", c.header)
	}
}

// TestTriedAgain: failures of all kinds are tried again until the pauses are
// used up, each attempt is logged, and a redirect is not followed.
func TestTriedAgain(t *testing.T) {
	s := bench(t, nil)
	elsewhere, visits := receiver(t, func(int, http.ResponseWriter) {})
	url, _ := receiver(t, func(n int, w http.ResponseWriter) {
		switch n {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			w.Header().Set("Location", elsewhere)
			w.WriteHeader(http.StatusFound)
		case 3:
			panic(http.ErrAbortHandler)
		}
	})
	h, _, err := s.Create(t.Context(), tester, here, Spec{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Emit(t.Context(), []string{id(t, s, here)}, Event{Event: Push}); err != nil {
		t.Fatal(err)
	}
	run(t, s)
	d := await(t, s, h.ID, only(t, s, h.ID).ID)
	var log []string
	for _, a := range d.Log {
		log = append(log, fmt.Sprintf("%d %d %s", a.Number, a.Status, a.Error))
	}
	want := "1 500 the receiver answered 500 Internal Server Error\n2 302 the receiver answered 302 Found\n3 0 EOF\n4 200 "
	if got := strings.Join(log, "\n"); got != want || d.State != Delivered {
		t.Errorf("%s:\n%s", d.State, got)
	}
	select {
	case <-visits:
		t.Error("the redirect was followed")
	default:
	}
	// Nobody listens: it fails for good.
	if _, err := s.Update(t.Context(), tester, here, h.ID, Spec{URL: "http://127.0.0.1:1/"}); err != nil {
		t.Fatal(err)
	}
	again, err := s.Redeliver(t.Context(), tester, here, h.ID, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	d = await(t, s, h.ID, again.ID)
	if d.State != Failed || d.Attempts != 4 || d.Log[0].Error != "the connection was refused" || d.Next != nil {
		t.Errorf("got %+v", d)
	}
}

// TestSurvives: what was emitted before the Hub ended is delivered by the next,
// and what a killed Hub had in hand, too.
func TestSurvives(t *testing.T) {
	s := bench(t, nil)
	url, calls := receiver(t, func(int, http.ResponseWriter) {})
	h, _, err := s.Create(t.Context(), tester, here, Spec{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)()
	if err := s.Emit(t.Context(), []string{id(t, s, here)}, Event{Event: Push, Tag: "late"}); err != nil {
		t.Fatal(err)
	}
	d := only(t, s, h.ID)
	// As a killed Hub leaves it, whose claim has just run out.
	if _, err := s.DB.Exec(t.Context(), "UPDATE webhook_deliveries SET claimed = ?", now().Unix()); err != nil {
		t.Fatal(err)
	}
	run(t, New(s.Options))
	<-calls
	if d = await(t, s, h.ID, d.ID); d.State != Delivered {
		t.Errorf("got %+v", d)
	}
}

// TestNotPublic: a name that leads to loopback is accepted (names may change)
// and refused when it is called, without telling what it leads to.
func TestNotPublic(t *testing.T) {
	s := bench(t, func(o *Options) { o.Policy = outbound.Policy{}; o.Pauses = []time.Duration{} })
	url, calls := receiver(t, func(int, http.ResponseWriter) {})
	if _, _, err := s.Create(t.Context(), tester, here, Spec{URL: url}); !errors.Is(err, errdefs.ErrPermissionDenied) {
		t.Errorf("%s: %v", url, err)
	}
	h, _, err := s.Create(t.Context(), tester, here, Spec{URL: "http://hook.example/"})
	if err != nil {
		t.Fatal(err)
	}
	// As when the name's address changes after it was taken.
	if _, err := s.DB.Exec(t.Context(), "UPDATE webhooks SET url = ?", url); err != nil {
		t.Fatal(err)
	}
	if err := s.Emit(t.Context(), []string{id(t, s, here)}, Event{Event: Push}); err != nil {
		t.Fatal(err)
	}
	run(t, s)
	d := await(t, s, h.ID, only(t, s, h.ID).ID)
	if d.State != Failed || d.Log[0].Error != "refused: the address is not a public one" || len(calls) != 0 {
		t.Errorf("got %+v, %d calls", d, len(calls))
	}
}

func TestBadHooks(t *testing.T) {
	s := bench(t, nil)
	for name, spec := range map[string]Spec{
		"no url": {}, "scheme": {URL: "gopher://x"}, "event": {URL: "https://x.example", Events: []string{"pull"}},
		"secret": {URL: "https://x.example", Secret: strings.Repeat("x", 257)},
	} {
		if _, _, err := s.Create(t.Context(), tester, here, spec); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range maxHooks {
		if _, _, err := s.Create(t.Context(), tester, here, Spec{URL: "https://x.example", Paused: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Create(t.Context(), tester, here, Spec{URL: "https://x.example"}); !errors.Is(err, errdefs.ErrResourceExhausted) {
		t.Errorf("one too many: %v", err)
	}
	hooks, err := s.List(t.Context(), tester, here)
	if err != nil || len(hooks) != maxHooks {
		t.Fatalf("%d, %v", len(hooks), err)
	}
	id := hooks[0].ID
	if _, err := s.Ping(t.Context(), tester, here, id); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("ping of a paused one: %v", err)
	}
	// Another owner's is not there.
	for name, do := range map[string]func() error{
		"get": func() error { _, err := s.Get(t.Context(), tester, there, id); return err },
		"update": func() error {
			_, err := s.Update(t.Context(), tester, there, id, Spec{URL: "https://x.example"})
			return err
		},
		"remove":     func() error { return s.Remove(t.Context(), tester, there, id) },
		"ping":       func() error { _, err := s.Ping(t.Context(), tester, there, id); return err },
		"deliveries": func() error { _, err := s.Deliveries(t.Context(), tester, there, id, ""); return err },
		"delivery":   func() error { _, err := s.Delivery(t.Context(), tester, here, id, "x"); return err },
	} {
		if err := do(); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Remove(t.Context(), tester, here, id); err != nil {
		t.Error(err)
	}
}

// database is the URL of an empty database for a test.
var database = func(*testing.T) string { return "" } // SQLite

// TestPostgres runs what depends on the database on PostgreSQL.
func TestPostgres(t *testing.T) {
	postgres.Again(t, &database, map[string]func(*testing.T){
		"Delivered":  TestDelivered,
		"TriedAgain": TestTriedAgain,
		"Survives":   TestSurvives,
		"BadHooks":   TestBadHooks,
	})
}

// TestWhoMay: who does not administer a place neither sees nor changes its
// webhooks, and a namespace's go with it.
func TestWhoMay(t *testing.T) {
	s := bench(t, nil)
	accounts := account.New(s.DB, account.Options{})
	user := func(name string) account.Principal {
		u, err := accounts.CreateUser(t.Context(), tester, account.NewUser{Name: name, Password: "correct horse battery"})
		if err != nil {
			t.Fatal(err)
		}
		return u.Principal()
	}
	ann, bob := user("ann"), user("bob")
	if _, err := accounts.CreateOrganisation(t.Context(), ann, "acme"); err != nil {
		t.Fatal(err)
	}
	acme := catalog.Place{Namespace: "acme"}
	h, _, err := s.Create(t.Context(), ann, acme, Spec{URL: "https://hooks.example/T0/secret?x=y"})
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"list":   func() error { _, err := s.List(t.Context(), bob, acme); return err }(),
		"create": func() error { _, _, err := s.Create(t.Context(), bob, acme, Spec{URL: "nonsense"}); return err }(),
		"update": func() error { _, err := s.Update(t.Context(), bob, acme, h.ID, Spec{}); return err }(),
		"remove": s.Remove(t.Context(), bob, acme, h.ID),
		"ping":   func() error { _, err := s.Ping(t.Context(), bob, acme, h.ID); return err }(),
		"nobody": s.Remove(t.Context(), account.Principal{}, acme, h.ID),
	} {
		if !errors.Is(err, errdefs.ErrPermissionDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.List(t.Context(), bob, here); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("of a private repository: %v", err)
	}
	entries, err := accounts.Audit(t.Context(), ann, audit.Filter{Namespace: "acme"})
	refused := 0
	for _, e := range entries {
		if strings.Contains(e.Detail, "secret") || strings.Contains(e.Target, "secret") {
			t.Errorf("the address is in the log: %+v", e)
		}
		if e.Result == audit.Refused {
			refused++
		}
	}
	if err != nil || refused != 5 {
		t.Errorf("%d refusals are written down, %v: %+v", refused, err, entries)
	}
	if err := accounts.DeleteOrganisation(t.Context(), ann, "acme"); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := s.DB.QueryRow(t.Context(), "SELECT count(*) FROM webhooks WHERE id = ?", h.ID).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d webhooks of nobody, %v", left, err)
	}
}
