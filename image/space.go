package image

import (
	"context"

	disk "github.com/berth-engine/berth/kernel/file"
)

// Space is a part of what the engine has on disk.
type Space = disk.Space

// Space tells where the store's bytes are.
func (s *Store) Space(ctx context.Context) ([]disk.Space, error) {
	return disk.Measure(ctx, s.db.Parts())
}
