package store

import bolt "go.etcd.io/bbolt"

// frugal is the database of the metadata. A transaction that turns out to change
// nothing is given up: its commit would wait for the disk twice, and builders
// and collections of garbage make many of them.
type frugal struct{ *bolt.DB }

// Update runs fn in a transaction that is committed if fn succeeds. An error of fn
// is returned as it is: the metadata store compares.
func (f frugal) Update(fn func(*bolt.Tx) error) error {
	tx, err := f.Begin(true)
	if err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended { // fn failed, or panicked
			_ = tx.Rollback() // it only fails if there is no transaction
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	ended = true
	// Whatever is written makes nodes of pages; what is only read does not.
	if stats := tx.Stats(); stats.GetNodeCount() == 0 {
		return tx.Rollback()
	}
	return tx.Commit()
}
