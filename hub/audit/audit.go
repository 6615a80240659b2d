// Package audit is the Hub's audit log: who, from where, did what to what,
// when, and whether it was allowed. Entries are added in the transaction of
// what they tell of, so that neither is without the other, and there is no way
// to change or remove one.
package audit

import (
	"context"
	"net/netip"
	"time"

	"github.com/berth-engine/berth/hub/store"
)

// Results of an action.
const (
	OK      = "ok"
	Refused = "refused"
)

// Entry is one thing that happened. Secrets are never part of it.
type Entry struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"`   // of the actor: user, robot, system; empty is anonymous
	Actor  string    `json:"actor"`  // its id, which stays when it is renamed
	Name   string    `json:"name"`   // its name at that time
	Remote string    `json:"remote"` // the address that the request came from
	Action string    `json:"action"` // as "token.create"
	// Namespace is the name of the namespace whose owners may read the entry;
	// empty is the Hub's own affairs.
	Namespace string `json:"namespace"`
	Target    string `json:"target"`
	Result    string `json:"result"`
	Detail    string `json:"detail,omitempty"`
}

type remoteKey struct{}

// WithRemote remembers in a request's context from where it came.
func WithRemote(ctx context.Context, remote string) context.Context {
	return context.WithValue(ctx, remoteKey{}, remote)
}

// Remote is the address that WithRemote remembered, or "".
func Remote(ctx context.Context) string {
	remote, _ := ctx.Value(remoteKey{}).(string)
	return remote
}

// Network is whom an address counts as, where tries and requests are counted: the
// address itself, or the /64 of an IPv6 address, of which a client has all.
func Network(remote string) string {
	addr, err := netip.ParseAddr(remote)
	if err != nil || addr.Unmap().Is4() {
		return remote
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return remote
	}
	return prefix.String()
}

// Add writes an entry in the caller's transaction. Id, time and address are
// filled in; an empty result is OK.
func Add(ctx context.Context, tx *store.Tx, e Entry) error {
	if e.Result == "" {
		e.Result = OK
	}
	now := time.Now()
	_, err := tx.Exec(ctx, `INSERT INTO audit (id, time, nanosecond, kind, actor, name, remote, action, namespace, target, result, detail)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, store.NewID(), now.Unix(), now.Nanosecond(), e.Kind, e.Actor, e.Name, Remote(ctx),
		e.Action, e.Namespace, e.Target, e.Result, e.Detail)
	return err
}

// Filter selects entries; empty fields select all.
type Filter struct {
	Namespace, Actor, Action string
	Before                   time.Time // exclusive: of the last entry, for the next page
	Limit                    int       // 0 is 100; at most 1000
}

// List returns entries, the newest first. Whether somebody may read them is
// for the caller to decide.
func List(ctx context.Context, db *store.DB, f Filter) ([]Entry, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	query := `SELECT id, time, nanosecond, kind, actor, name, remote, action, namespace, target, result, detail FROM audit WHERE 1 = 1`
	var args []any
	where := func(condition, value string) {
		if value != "" {
			query += " AND " + condition
			args = append(args, value)
		}
	}
	where("namespace = ?", f.Namespace)
	where("actor = ?", f.Actor)
	where("action = ?", f.Action)
	if !f.Before.IsZero() {
		query += " AND (time < ? OR time = ? AND nanosecond < ?)"
		args = append(args, f.Before.Unix(), f.Before.Unix(), f.Before.Nanosecond())
	}
	args = append(args, min(f.Limit, 1000))
	rows, err := db.Query(ctx, query+" ORDER BY time DESC, nanosecond DESC, id LIMIT ?", args...)
	return store.Collect(rows, err, scan)
}

func scan(s store.Scanner) (e Entry, err error) {
	var seconds, nanoseconds int64
	err = s.Scan(&e.ID, &seconds, &nanoseconds, &e.Kind, &e.Actor, &e.Name, &e.Remote, &e.Action, &e.Namespace, &e.Target, &e.Result, &e.Detail)
	e.Time = time.Unix(seconds, nanoseconds).UTC()
	return e, err
}
