package format

import (
	"encoding/json"

	"github.com/moby/moby/api/types/plugin"
)

// The formats of plugins.
const (
	PluginTable = "table {{.ID}}\t{{.Name}}\t{{.Description}}\t{{.Enabled}}"
	PluginQuiet = "{{.ID}}"
)

// PluginHeader titles the columns of plugins.
var PluginHeader = Header{"ID": "ID", "Name": "NAME", "Description": "DESCRIPTION", "Enabled": "ENABLED", "PluginReference": "REFERENCE"}

// PluginRow is a plugin.
type PluginRow struct {
	p     plugin.Plugin
	trunc bool
}

// Plugins makes a row for each.
func Plugins(list []plugin.Plugin, trunc bool) []PluginRow {
	rows := make([]PluginRow, len(list))
	for i := range list {
		rows[i] = PluginRow{list[i], trunc}
	}
	return rows
}

// MarshalJSON gives all fields.
func (r PluginRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// ID is the plugin's ID.
func (r PluginRow) ID() string {
	if r.trunc && len(r.p.ID) == 64 {
		return ShortID(r.p.ID)
	}
	return r.p.ID
}

// Name is its name.
func (r PluginRow) Name() string { return r.p.Name }

// Description says what it is.
func (r PluginRow) Description() string { return r.p.Config.Description }

// Enabled tells whether it is in use.
func (r PluginRow) Enabled() bool { return r.p.Enabled }

// PluginReference is where a managed plugin came from.
func (r PluginRow) PluginReference() string { return r.p.PluginReference }
