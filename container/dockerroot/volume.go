package dockerroot

import (
	"encoding/json"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Volume is a volume of the local driver.
type Volume struct {
	Name    string
	Driver  string
	Labels  map[string]string
	Options map[string]string
	Data    string `json:"-"` // directory of its files
}

// Volumes lists the volumes.
func (r *Root) Volumes() ([]Volume, error) {
	known := map[string]Volume{}
	err := r.volumes.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("volumes"))
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, v []byte) error {
			var vol Volume
			if json.Unmarshal(v, &vol) == nil && vol.Name != "" {
				known[vol.Name] = vol
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.in("volumes"))
	if err != nil {
		return nil, err
	}
	var list []Volume
	for _, e := range entries {
		data := r.in("volumes", e.Name(), "_data")
		if info, err := os.Lstat(data); err != nil || !info.IsDir() {
			continue
		}
		v := known[e.Name()]
		v.Name, v.Data = e.Name(), data
		list = append(list, v)
	}
	return list, nil
}
