package api

// Migration is the answer to POST /migrate/docker: what was taken over from
// another engine's data-root.
type Migration struct {
	Images     []Migrated
	Volumes    []Migrated
	Containers []Migrated
}

// Migrated is one object that was taken over, or was not.
type Migrated struct {
	Name  string
	Error string `json:",omitempty"` // "": it is here; otherwise why it is not
	// Note says what differs from what it was.
	Note string `json:",omitempty"`
}
