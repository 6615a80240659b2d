package opts

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// ParseVolume splits one -v value. The result has either a bind (to be sent
// as written, a relative host path made absolute) or an anonymous volume's
// path in the container.
func ParseVolume(spec string) (bind, anonymous string, err error) {
	if spec == "" {
		return "", "", errors.New("invalid empty volume spec")
	}
	parts := strings.Split(spec, ":")
	if slices.Contains(parts, "") {
		return "", "", fmt.Errorf("invalid spec: %s: empty section between colons", spec)
	}
	switch len(parts) {
	case 1:
		return "", spec, nil
	case 2, 3:
	default:
		return "", "", fmt.Errorf("invalid spec: %s: too many colons", spec)
	}
	if strings.HasPrefix(parts[0], ".") {
		abs, err := filepath.Abs(parts[0])
		if err != nil {
			return "", "", err
		}
		parts[0] = abs
	}
	return strings.Join(parts, ":"), "", nil
}
