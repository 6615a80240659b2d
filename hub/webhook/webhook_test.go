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
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
)

// bench is a Service on a database of its own, whose receivers are on loopback.
func bench(t *testing.T, change func(*Options)) *Service {
	t.Helper()
	db, err := store.Open(t.Context(), database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := seal.New([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		DB: db, Key: key, Policy: outbound.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
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
		d, err := s.Delivery(t.Context(), "o", hook, id)
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
	list, err := s.Deliveries(t.Context(), "o", hook, "")
	if err != nil || len(list) != 1 {
		t.Fatalf("%d deliveries, %v", len(list), err)
	}
	return list[0]
}

func TestDelivered(t *testing.T) {
	s := bench(t, nil)
	url, calls := receiver(t, func(_ int, w http.ResponseWriter) { _, _ = io.WriteString(w, "thanks\x00\xff") })
	h, secret, err := s.Create(t.Context(), "o", Spec{URL: url + "/in?x=1"})
	if err != nil {
		t.Fatal(err)
	}
	var sealed string
	if err := s.DB.QueryRow(t.Context(), "SELECT secret FROM webhooks").Scan(&sealed); err != nil || strings.Contains(sealed, secret) {
		t.Errorf("the database has %q, %v", sealed, err)
	}
	// Not wanted, or not of this owner: nothing is written.
	for _, e := range []struct {
		owner, event string
	}{{"o", Delete}, {"other", Push}} {
		if err := s.Emit(t.Context(), []string{e.owner}, Event{Event: e.event}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, s)
	sent := Event{Event: Push, Time: now(), Repository: "a/b", Tag: "1", Digest: "sha256:x", Actor: "ann"}
	if err := s.Emit(t.Context(), []string{"other", "o"}, sent); err != nil {
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

	again, err := s.Redeliver(t.Context(), "o", h.ID, d.ID)
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
	if _, err := s.Ping(t.Context(), "o", h.ID, "a/b", "ann"); err != nil {
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
	h, _, err := s.Create(t.Context(), "o", Spec{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Emit(t.Context(), []string{"o"}, Event{Event: Push}); err != nil {
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
	if _, err := s.Update(t.Context(), "o", h.ID, Spec{URL: "http://127.0.0.1:1/"}); err != nil {
		t.Fatal(err)
	}
	again, err := s.Redeliver(t.Context(), "o", h.ID, d.ID)
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
	h, _, err := s.Create(t.Context(), "o", Spec{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)()
	if err := s.Emit(t.Context(), []string{"o"}, Event{Event: Push, Tag: "late"}); err != nil {
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
	if _, _, err := s.Create(t.Context(), "o", Spec{URL: url}); !errors.Is(err, errdefs.ErrPermissionDenied) {
		t.Errorf("%s: %v", url, err)
	}
	h, _, err := s.Create(t.Context(), "o", Spec{URL: "http://hook.example/"})
	if err != nil {
		t.Fatal(err)
	}
	// As when the name's address changes after it was taken.
	if _, err := s.DB.Exec(t.Context(), "UPDATE webhooks SET url = ?", url); err != nil {
		t.Fatal(err)
	}
	if err := s.Emit(t.Context(), []string{"o"}, Event{Event: Push}); err != nil {
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
		if _, _, err := s.Create(t.Context(), "o", spec); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range maxHooks {
		if _, _, err := s.Create(t.Context(), "o", Spec{URL: "https://x.example", Paused: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Create(t.Context(), "o", Spec{URL: "https://x.example"}); !errors.Is(err, errdefs.ErrResourceExhausted) {
		t.Errorf("one too many: %v", err)
	}
	hooks, err := s.List(t.Context(), "o")
	if err != nil || len(hooks) != maxHooks {
		t.Fatalf("%d, %v", len(hooks), err)
	}
	id := hooks[0].ID
	if _, err := s.Ping(t.Context(), "o", id, "", ""); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("ping of a paused one: %v", err)
	}
	// Another owner's is not there.
	for name, do := range map[string]func() error{
		"get":        func() error { _, err := s.Get(t.Context(), "other", id); return err },
		"update":     func() error { _, err := s.Update(t.Context(), "other", id, Spec{URL: "https://x.example"}); return err },
		"remove":     func() error { return s.Remove(t.Context(), "other", id) },
		"ping":       func() error { _, err := s.Ping(t.Context(), "other", id, "", ""); return err },
		"deliveries": func() error { _, err := s.Deliveries(t.Context(), "other", id, ""); return err },
		"delivery":   func() error { _, err := s.Delivery(t.Context(), "o", id, "x"); return err },
	} {
		if err := do(); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Remove(t.Context(), "o", id); err != nil {
		t.Error(err)
	}
}

// database is the URL of an empty database for a test.
var database = func(t *testing.T) string { return filepath.Join(t.TempDir(), "hub.db") }

// TestPostgres runs what depends on the database on PostgreSQL.
func TestPostgres(t *testing.T) {
	postgres.Again(t, &database, map[string]func(*testing.T){
		"Delivered":  TestDelivered,
		"TriedAgain": TestTriedAgain,
		"Survives":   TestSurvives,
		"BadHooks":   TestBadHooks,
	})
}
