package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// States of a delivery.
const (
	Pending   = "pending"
	Delivered = "delivered"
	Failed    = "failed"
)

// Event is what receivers get as the body, with the delivery's id.
type Event struct {
	// Delivery is filled in for each receiver.
	Delivery   string    `json:"delivery"`
	Event      string    `json:"event"`
	Time       time.Time `json:"time"`
	Repository string    `json:"repository"` // namespace/name
	Tag        string    `json:"tag,omitempty"`
	Digest     string    `json:"digest,omitempty"`
	MediaType  string    `json:"media_type,omitempty"`
	Size       int64     `json:"size,omitempty"` // of the manifest, in bytes
	// Actor is the name of who did it.
	Actor string `json:"actor,omitempty"`
	// Build is the automated build that ended, for Event Build.
	Build *BuildResult `json:"build,omitempty"`
}

// BuildResult is the part of an Event about an automated build.
type BuildResult struct {
	ID     string   `json:"id"`
	State  string   `json:"state"`
	Commit string   `json:"commit"`
	Ref    string   `json:"ref"`
	Tags   []string `json:"tags,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// Delivery is an event for one webhook, and how that went.
type Delivery struct {
	ID       string    `json:"id"`
	Event    string    `json:"event"`
	State    string    `json:"state"`
	Created  time.Time `json:"created"`
	Attempts int       `json:"attempts"`
	// Next is when it is tried again, of one that is pending.
	Next *time.Time `json:"next,omitempty"`
	// Redelivers is the delivery that this one repeats.
	Redelivers string `json:"redelivers,omitempty"`
	// Body and Log are filled in by Delivery alone.
	Body json.RawMessage `json:"body,omitempty"`
	Log  []Attempt       `json:"log,omitempty"`
}

// Attempt is one call of the receiver.
type Attempt struct {
	Number  int       `json:"number"`
	Started time.Time `json:"started"`
	Millis  int64     `json:"ms"`
	// Status is the HTTP status, or 0 when there was no answer.
	Status int `json:"status"`
	// Answer is the beginning of the answer's body.
	Answer string `json:"answer,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Emit is EmitTx in a transaction of its own.
func (s *Service) Emit(ctx context.Context, owners []string, e Event) error {
	err := s.DB.Tx(ctx, func(tx *store.Tx) error { return s.EmitTx(ctx, tx, owners, e) })
	s.Poke()
	return err
}

// EmitTx writes a delivery for every active webhook of the owners (a repository
// and its namespace) that wants the event, into the transaction of what
// happened. Poke when that is committed.
func (s *Service) EmitTx(ctx context.Context, tx *store.Tx, owners []string, e Event) error {
	for _, owner := range owners {
		rows, err := tx.Query(ctx, selectHook+" WHERE owner = ? AND active = 1", owner)
		hooks, err := store.Collect(rows, err, scan)
		if err != nil {
			return err
		}
		for _, h := range hooks {
			if !slices.Contains(h.Events, e.Event) {
				continue
			}
			if _, err := enqueue(ctx, tx, h.ID, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Ping tries a webhook with an event of its own kind.
func (s *Service) Ping(ctx context.Context, by account.Principal, at catalog.Place, id string) (d Delivery, err error) {
	err = s.again(ctx, by, at, "webhook.ping", id, func(tx *store.Tx) (string, error) {
		return enqueue(ctx, tx, id, Event{Event: Ping, Time: now(), Repository: at.Name(), Actor: by.Name})
	}, &d)
	return d, err
}

// again writes a delivery that somebody asked for.
func (s *Service) again(ctx context.Context, by account.Principal, at catalog.Place, action, hook string, write func(tx *store.Tx) (string, error), d *Delivery) error {
	err := s.Catalog.Act(ctx, by, deed(at, action, nil), func(tx *store.Tx, found catalog.Found) error {
		h, err := get(ctx, tx, found.ID, hook)
		if err != nil {
			return err
		}
		if !h.Active {
			return paused(hook)
		}
		id, err := write(tx)
		if err != nil {
			return err
		}
		*d, err = delivery(ctx, tx, hook, id)
		return err
	})
	if err == nil {
		s.Poke()
	}
	return err
}

func paused(id string) error {
	return fmt.Errorf("webhook %s is paused: resume it first: %w", id, errdefs.ErrFailedPrecondition)
}

// enqueue writes one delivery.
func enqueue(ctx context.Context, tx *store.Tx, hook string, e Event) (string, error) {
	e.Delivery = store.NewID()
	body, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	return e.Delivery, insert(ctx, tx, e.Delivery, hook, e.Event, string(body), "")
}

func insert(ctx context.Context, tx *store.Tx, id, hook, event, body, again string) error {
	at := now().Unix()
	_, err := tx.Exec(ctx, `INSERT INTO webhook_deliveries (id, webhook, event, body, state, attempts, next, claimed, created, again)
		VALUES (?, ?, ?, ?, ?, 0, ?, 0, ?, ?)`, id, hook, event, body, Pending, at, at, again)
	return err
}

// Redeliver sends a delivery's body once more, unchanged but for the id.
func (s *Service) Redeliver(ctx context.Context, by account.Principal, at catalog.Place, hook, id string) (d Delivery, err error) {
	err = s.again(ctx, by, at, "webhook.redeliver", hook, func(tx *store.Tx) (string, error) {
		old, err := delivery(ctx, tx, hook, id)
		if err != nil {
			return "", err
		}
		var e Event
		if err := json.Unmarshal(old.Body, &e); err != nil {
			return "", err
		}
		e.Delivery = store.NewID()
		body, err := json.Marshal(e)
		if err != nil {
			return "", err
		}
		return e.Delivery, insert(ctx, tx, e.Delivery, hook, old.Event, string(body), id)
	}, &d)
	return d, err
}

const selectDelivery = "SELECT d.id, d.event, d.state, d.created, d.attempts, d.next, d.again, d.body FROM webhook_deliveries d"

func scanDelivery(row store.Scanner) (Delivery, error) {
	var d Delivery
	var created, next int64
	var body string
	if err := row.Scan(&d.ID, &d.Event, &d.State, &created, &d.Attempts, &next, &d.Redelivers, &body); err != nil {
		return Delivery{}, err
	}
	d.Created, d.Body = time.Unix(created, 0).UTC(), json.RawMessage(body)
	if d.State == Pending {
		at := time.Unix(next, 0).UTC()
		d.Next = &at
	}
	return d, nil
}

// Deliveries lists the newest deliveries of a webhook, 100 at most, without
// bodies and logs. before is the id of the last one of the page before.
func (s *Service) Deliveries(ctx context.Context, by account.Principal, at catalog.Place, hook, before string) ([]Delivery, error) {
	if _, err := s.Get(ctx, by, at, hook); err != nil {
		return nil, err
	}
	where, args := " WHERE d.webhook = ?", []any{hook}
	if before != "" {
		last, err := delivery(ctx, s.DB, hook, before)
		if err != nil {
			return nil, err
		}
		where += " AND (d.created < ? OR d.created = ? AND d.id < ?)"
		args = append(args, last.Created.Unix(), last.Created.Unix(), before)
	}
	rows, err := s.DB.Query(ctx, selectDelivery+where+" ORDER BY d.created DESC, d.id DESC LIMIT 100", args...)
	list, err := store.Collect(rows, err, scanDelivery)
	for i := range list {
		list[i].Body = nil
	}
	return list, err
}

// Delivery returns one with its body and log.
func (s *Service) Delivery(ctx context.Context, by account.Principal, at catalog.Place, hook, id string) (Delivery, error) {
	if _, err := s.Get(ctx, by, at, hook); err != nil {
		return Delivery{}, err
	}
	return delivery(ctx, s.DB, hook, id)
}

func delivery(ctx context.Context, q store.Querier, hook, id string) (Delivery, error) {
	d, err := scanDelivery(q.QueryRow(ctx, selectDelivery+" WHERE d.webhook = ? AND d.id = ?", hook, id))
	if err != nil {
		return Delivery{}, fmt.Errorf("delivery %q: %w", id, err)
	}
	rows, err := q.Query(ctx, "SELECT number, started, millis, status, answer, error FROM webhook_attempts WHERE delivery = ? ORDER BY number", id)
	d.Log, err = store.Collect(rows, err, func(row store.Scanner) (a Attempt, err error) {
		var started int64
		err = row.Scan(&a.Number, &started, &a.Millis, &a.Status, &a.Answer, &a.Error)
		a.Started = time.Unix(started, 0).UTC()
		return a, err
	})
	return d, err
}
