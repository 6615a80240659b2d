package config

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// ImageGC is the key "image-gc": which images are removed without being asked.
// Without a limit none is.
type ImageGC struct {
	UnusedFor Duration `json:"unusedFor"`
	MaxUsed   Space    `json:"maxUsedSpace"`
	MinFree   Space    `json:"minFreeSpace"`
	Tagged    bool     `json:"tagged"` // also images that have a name
}

// UnmarshalJSON refuses keys that it does not know, as the whole file does.
func (g *ImageGC) UnmarshalJSON(data []byte) error {
	type plain ImageGC
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode((*plain)(g)); err != nil {
		return fmt.Errorf("image-gc: %w", err)
	}
	if g.Tagged && g.UnusedFor == 0 && g.MaxUsed == (Space{}) && g.MinFree == (Space{}) {
		return fmt.Errorf("image-gc: tagged without a limit: set unusedFor, maxUsedSpace or minFreeSpace")
	}
	return nil
}
