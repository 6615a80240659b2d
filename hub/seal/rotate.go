package seal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Column is where sealed secrets are in the database; "" there is none.
type Column struct {
	// Table has them in Name; Key is the column that names their rows.
	Table, Key, Name string
	// Purpose is what the secret of a row is for, by its Key.
	Purpose func(key string) string
	// Plain says that what is not sealed was written before secrets were.
	Plain bool
}

// Resealed is what Reseal found.
type Resealed struct {
	Sealed int      // secrets that are sealed by the present key now, and were not
	Lost   []string // purposes of those that no key opens
}

// Reseal seals by the present key what another one had sealed, or none. It may
// run while others use the database.
func (k *Key) Reseal(ctx context.Context, db *store.DB, columns ...Column) (Resealed, error) {
	var all Resealed
	for _, c := range columns {
		var now Resealed
		err := db.Tx(ctx, func(tx *store.Tx) (err error) {
			now, err = k.reseal(ctx, tx, c)
			return err
		})
		if err != nil {
			return all, fmt.Errorf("seal %s of %s: %w", c.Name, c.Table, err)
		}
		all.Sealed += now.Sealed
		all.Lost = append(all.Lost, now.Lost...)
	}
	if all.Sealed == 0 {
		return all, nil
	}
	return all, db.Scrub(ctx)
}

func (k *Key) reseal(ctx context.Context, tx *store.Tx, c Column) (Resealed, error) {
	var done Resealed
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT %s, %s FROM %s WHERE %s <> ''", c.Key, c.Name, c.Table, c.Name))
	all, err := store.Collect(rows, err, func(s store.Scanner) (row [2]string, err error) { return row, s.Scan(&row[0], &row[1]) })
	if err != nil {
		return done, err
	}
	for _, row := range all {
		purpose := c.Purpose(row[0])
		secret, present, err := k.open(purpose, row[1])
		if c.Plain && !strings.HasPrefix(row[1], version) {
			secret, present, err = row[1], false, nil
		}
		if err != nil {
			done.Lost = append(done.Lost, purpose)
			continue
		}
		if present {
			continue
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ?", c.Table, c.Name, c.Key), k.Seal(purpose, secret), row[0]); err != nil {
			return done, err
		}
		done.Sealed++
	}
	return done, nil
}

// Rotate makes a new key, which seals from now on, and keeps the others for what
// they sealed; Reseal takes their place, and then Forget removes them.
func (k *Key) Rotate() error {
	return k.replace(func(lines []string) []string { return append([]string{newKey()}, lines...) })
}

// Forget removes all keys but the present one.
func (k *Key) Forget() error {
	return k.replace(func(lines []string) []string { return lines[:1] })
}

func (k *Key) replace(change func([]string) []string) error {
	if k.path == "" {
		return fmt.Errorf("the key is no file's: %w", errdefs.ErrFailedPrecondition)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	lines, err := readLines(k.path)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return fmt.Errorf("%s holds no key: %w", k.path, errdefs.ErrInvalidArgument)
	}
	name, err := write(filepath.Dir(k.path), change(slices.Clone(lines))...)
	if err == nil {
		err = os.Rename(name, k.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return errors.Join(syncDir(filepath.Dir(k.path)), k.load())
}

// syncDir has a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
