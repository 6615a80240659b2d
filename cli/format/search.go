package format

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/registry"
)

// SearchTable is the format of the search command.
const SearchTable = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}"

// SearchHeader titles the columns of search.
var SearchHeader = Header{"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}

// descriptionWidth is what a description is cut to, as Docker does.
const descriptionWidth = 45

// SearchRow is one repository that was found.
type SearchRow struct {
	r     registry.SearchResult
	trunc bool
}

// Search makes rows.
func Search(list []registry.SearchResult, trunc bool) []SearchRow {
	rows := make([]SearchRow, len(list))
	for i, r := range list {
		rows[i] = SearchRow{r, trunc}
	}
	return rows
}

// MarshalJSON gives all fields.
func (r SearchRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// Name is the repository.
func (r SearchRow) Name() string { return r.r.Name }

// Description is one line.
func (r SearchRow) Description() string {
	text := strings.NewReplacer("\n", " ", "\r", " ").Replace(r.r.Description)
	if r.trunc {
		return Ellipsis(text, descriptionWidth)
	}
	return text
}

// StarCount is how many people like it.
func (r SearchRow) StarCount() string { return strconv.Itoa(r.r.StarCount) }

// IsOfficial marks the registry's own images.
func (r SearchRow) IsOfficial() string {
	if r.r.IsOfficial {
		return "[OK]"
	}
	return ""
}
