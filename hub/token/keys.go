package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// A key signs for a day, and is kept until the last token that it signed has
// surely expired.
const (
	rotation = 24 * time.Hour
	kept     = rotation + time.Hour
)

// keys are the signing keys, which all nodes share through the database.
type keys struct {
	db  *store.DB
	now func() time.Time

	mu    sync.Mutex
	known map[string]*ecdsa.PrivateKey
	made  map[string]time.Time
}

// signing returns the newest key and its id; it makes one when that is too old.
func (k *keys) signing(ctx context.Context) (string, *ecdsa.PrivateKey, error) {
	if id, key := k.newest(); key != nil {
		return id, key, nil
	}
	now := k.now()
	err := k.db.Tx(ctx, func(tx *store.Tx) error {
		var fresh int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM signing_keys WHERE created > ?", now.Add(-rotation).Unix()).Scan(&fresh); err != nil || fresh > 0 {
			return err // another node was first
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM signing_keys WHERE created < ?", now.Add(-kept).Unix()); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO signing_keys (id, private, created) VALUES (?, ?, ?)", store.NewID(), base64.StdEncoding.EncodeToString(der), now.Unix())
		return err
	})
	if err != nil {
		return "", nil, err
	}
	if err := k.load(ctx); err != nil {
		return "", nil, err
	}
	id, key := k.newest()
	if key == nil {
		return "", nil, errors.New("there is no key to sign tokens with")
	}
	return id, key, nil
}

// newest returns the newest key that may still sign.
func (k *keys) newest() (id string, key *ecdsa.PrivateKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	since := k.now().Add(-rotation)
	for i, made := range k.made {
		if made.After(since) {
			since, id = made, i
		}
	}
	return id, k.known[id]
}

// verifying returns the key of an id that is still kept.
func (k *keys) verifying(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	for _, again := range []bool{false, true} {
		if again { // another node may have made it since
			if err := k.load(ctx); err != nil {
				return nil, err
			}
		}
		k.mu.Lock()
		key, made := k.known[id], k.made[id]
		k.mu.Unlock()
		if key != nil {
			if k.now().Sub(made) > kept {
				return nil, errToken
			}
			return &key.PublicKey, nil
		}
		var there int64
		err := k.db.QueryRow(ctx, "SELECT created FROM signing_keys WHERE id = ?", id).Scan(&there)
		if errdefs.IsNotFound(err) {
			return nil, errToken
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errToken
}

func (k *keys) load(ctx context.Context) error {
	type row struct {
		id, private string
		created     int64
	}
	rows, err := k.db.Query(ctx, "SELECT id, private, created FROM signing_keys")
	all, err := store.Collect(rows, err, func(s store.Scanner) (r row, err error) { return r, s.Scan(&r.id, &r.private, &r.created) })
	if err != nil {
		return err
	}
	known, made := map[string]*ecdsa.PrivateKey{}, map[string]time.Time{}
	for _, r := range all {
		der, err := base64.StdEncoding.DecodeString(r.private)
		if err != nil {
			return err
		}
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return err
		}
		key, ok := parsed.(*ecdsa.PrivateKey)
		if !ok {
			return errors.New("a signing key in the database is not ECDSA")
		}
		known[r.id], made[r.id] = key, time.Unix(r.created, 0)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known, k.made = known, made
	return nil
}
