package network

import "encoding/json"

// Bindings are published ports. In JSON, many in a row are one.
type Bindings []PortBinding

// row is ports that follow one another on both sides, as they lie in records.
type row struct {
	PortBinding
	Count int `json:"count,omitempty"` // 0: one
}

// longRow is from how many ports on a row is written as one.
const longRow = 32

func (r *row) follows(p *PortBinding, n int) bool {
	next := r.PortBinding
	next.HostPort, next.ContainerPort = next.HostPort+uint16(n), next.ContainerPort+uint16(n)
	return next == *p && int(r.HostPort)+n == int(p.HostPort) && int(r.ContainerPort)+n == int(p.ContainerPort)
}

// MarshalJSON writes rows.
func (b Bindings) MarshalJSON() ([]byte, error) {
	var rows []row
	for at := 0; at < len(b); {
		r, n := row{PortBinding: b[at]}, 1
		for at+n < len(b) && r.follows(&b[at+n], n) {
			n++
		}
		if n >= longRow {
			r.Count = n
			rows = append(rows, r)
			at += n
			continue
		}
		for range n {
			rows = append(rows, row{PortBinding: b[at]})
			at++
		}
	}
	return json.Marshal(rows)
}

// UnmarshalJSON reads rows.
func (b *Bindings) UnmarshalJSON(data []byte) error {
	var rows []row
	if err := json.Unmarshal(data, &rows); err != nil {
		return err
	}
	*b = nil
	for _, r := range rows {
		if r.Count < 0 || int(r.HostPort)+r.Count > 1<<16 || int(r.ContainerPort)+r.Count > 1<<16 {
			return invalid("published port %d, and %d more", r.HostPort, r.Count)
		}
		for range max(r.Count, 1) {
			*b = append(*b, r.PortBinding)
			r.HostPort++
			r.ContainerPort++
		}
	}
	return nil
}
