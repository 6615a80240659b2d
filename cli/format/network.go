package format

import (
	"encoding/json"
	"strconv"

	"github.com/moby/moby/api/types/network"
)

// NetworkTable is the default format of networks.
const NetworkTable = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"

// NetworkHeader titles the columns of networks.
var NetworkHeader = Header{
	"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
	"Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
}

// NetworkRow is a network.
type NetworkRow struct {
	n     network.Summary
	trunc bool
}

// Networks makes a row for each; trunc shortens IDs.
func Networks(list []network.Summary, trunc bool) []NetworkRow {
	rows := make([]NetworkRow, len(list))
	for i := range list {
		rows[i] = NetworkRow{list[i], trunc}
	}
	return rows
}

// MarshalJSON gives all fields.
func (r NetworkRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// ID is the network's ID, short when rows are truncated.
func (r NetworkRow) ID() string {
	if r.trunc {
		return r.n.ID[:min(12, len(r.n.ID))]
	}
	return r.n.ID
}

// Name is the network's name.
func (r NetworkRow) Name() string { return r.n.Name }

// Driver is its driver.
func (r NetworkRow) Driver() string { return r.n.Driver }

// Scope is local or swarm.
func (r NetworkRow) Scope() string { return r.n.Scope }

// IPv4 tells whether containers get IPv4 addresses.
func (r NetworkRow) IPv4() string { return strconv.FormatBool(r.n.EnableIPv4) }

// IPv6 tells whether containers get IPv6 addresses.
func (r NetworkRow) IPv6() string { return strconv.FormatBool(r.n.EnableIPv6) }

// Internal tells whether nothing leads out.
func (r NetworkRow) Internal() string { return strconv.FormatBool(r.n.Internal) }

// Labels are all labels, as key=value.
func (r NetworkRow) Labels() string { return pairs(r.n.Labels) }

// Label is the value of one label.
func (r NetworkRow) Label(name string) string { return r.n.Labels[name] }

// CreatedAt is when it was made.
func (r NetworkRow) CreatedAt() string { return r.n.Created.String() }
