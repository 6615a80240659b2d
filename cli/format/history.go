package format

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/image"
)

// The formats of the history command.
const (
	HistoryTable      = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
	HistoryPlainTable = "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
)

// HistoryHeader titles the columns of history.
var HistoryHeader = Header{
	"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
	"CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
}

// HistoryRow is one step that made an image.
type HistoryRow struct {
	h            image.HistoryResponseItem
	trunc, human bool
	now          time.Time
}

// History makes rows; human writes sizes and ages in words.
func History(list []image.HistoryResponseItem, trunc, human bool, now time.Time) []HistoryRow {
	rows := make([]HistoryRow, len(list))
	for i, h := range list {
		rows[i] = HistoryRow{h, trunc, human, now}
	}
	return rows
}

// MarshalJSON gives all fields.
func (r HistoryRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// ID is the image made by the step, or <missing>.
func (r HistoryRow) ID() string {
	if r.trunc {
		return ShortID(r.h.ID)
	}
	return r.h.ID
}

// CreatedAt is when the step was done.
func (r HistoryRow) CreatedAt() string { return time.Unix(r.h.Created, 0).Format(time.RFC3339) }

// CreatedSince is the step's age; dates before 2000 are known to be made up.
func (r HistoryRow) CreatedSince() string {
	if !r.human {
		return r.CreatedAt()
	}
	if r.h.Created <= time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() {
		return "N/A"
	}
	return ago(r.now, r.h.Created)
}

// CreatedBy is the command of the step.
func (r HistoryRow) CreatedBy() string {
	s := strings.ReplaceAll(r.h.CreatedBy, "\t", " ")
	if r.trunc {
		return Ellipsis(s, 45)
	}
	return s
}

// Size is what the step added.
func (r HistoryRow) Size() string {
	if r.human {
		return size(r.h.Size)
	}
	return strconv.FormatInt(r.h.Size, 10)
}

// Comment is the builder's remark.
func (r HistoryRow) Comment() string { return r.h.Comment }
