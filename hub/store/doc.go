// Package store is the Hub's database: SQLite in one file for a Hub of one
// node, PostgreSQL for several nodes that share it.
//
// Statements are written once for both: placeholders are ?, ids are random
// text (NewID), times are Unix seconds and truth values are 0 and 1 in BIGINT
// columns (PostgreSQL's INTEGER has 32 bits), bytes are text in hex or base64,
// comparisons that ignore case use lower(), an order by bytes is COLLATE BINARY,
// and an upsert is ON CONFLICT.
// Migrations are migrations/NNNN_name.sql, applied in the order of their
// numbers, each in a transaction of its own, and never changed once published.
//
// Errors have a kind of containerd/errdefs: ErrNotFound when QueryRow finds no
// row, ErrAlreadyExists for a unique column's second value, and
// ErrFailedPrecondition for a reference to what is not there.
package store
