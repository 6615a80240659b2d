package format

import "encoding/json"

// ContextTable is how contexts are listed.
const ContextTable = "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}"

// ContextHeader titles the columns of contexts.
var ContextHeader = Header{
	"Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT", "Current": "", "Error": "ERROR",
}

// ContextRow is one context; its fields are those of Docker's formats.
type ContextRow struct {
	Name, Description, DockerEndpoint string
	Current                           bool
	Error                             string
}

// MarshalJSON gives all fields.
func (r ContextRow) MarshalJSON() ([]byte, error) {
	type plain ContextRow
	return json.Marshal(plain(r))
}

// Short is the row without the end of a long description and error.
func (r ContextRow) Short() ContextRow {
	r.Description, r.Error = Ellipsis(r.Description, 60), Ellipsis(r.Error, 45)
	return r
}
