package format

import "github.com/moby/moby/api/types/container"

// DiffPlain is the format of the diff command.
const DiffPlain = "{{.Type}} {{.Path}}"

// ChangeRow is one change of a container's files.
type ChangeRow struct{ c container.FilesystemChange }

// Changes makes a row for each.
func Changes(list []container.FilesystemChange) []ChangeRow {
	rows := make([]ChangeRow, len(list))
	for i, c := range list {
		rows[i] = ChangeRow{c}
	}
	return rows
}

// Type is A, C or D.
func (r ChangeRow) Type() string { return r.c.Kind.String() }

// Path is where.
func (r ChangeRow) Path() string { return r.c.Path }
